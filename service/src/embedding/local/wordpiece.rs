//! BERT's tokens: words and punctuation, each cut into the longest pieces that the vocabulary has.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// Letters of a word; a longer one is unknown, as it was in training.
const LONGEST_WORD: usize = 100;

pub(super) struct WordPiece {
    pieces: HashMap<String, usize>,
    lower_case: bool,
    unknown: usize,
    first: usize,
    last: usize,
}

impl WordPiece {
    /// Of the lines of `vocab.txt`, of which there may be `most`: the weights have no more rows.
    pub(super) fn new(vocabulary: &str, lower_case: bool, most: usize) -> Result<Self, String> {
        let lines = vocabulary.lines().count();
        if lines > most {
            return Err(format!("vocab.txt: it has {lines} lines, but config.json says {most}"));
        }
        let pieces: HashMap<String, usize> =
            vocabulary.lines().enumerate().map(|(id, piece)| (piece.to_owned(), id)).collect();
        let special = |name: &str| {
            pieces.get(name).copied().ok_or_else(|| format!("vocab.txt: there is no {name}"))
        };
        let (unknown, first, last) = (special("[UNK]")?, special("[CLS]")?, special("[SEP]")?);
        Ok(Self { pieces, lower_case, unknown, first, last })
    }

    /// The tokens of `text`, at most `longest` with the first and the last one.
    pub(super) fn ids(&self, text: &str, longest: usize) -> Vec<usize> {
        let mut ids = vec![self.first];
        for word in self.words(text) {
            self.cut(&word, &mut ids);
            if ids.len() >= longest {
                break;
            }
        }
        ids.truncate(longest.saturating_sub(1).max(1));
        ids.push(self.last);
        ids
    }

    fn words(&self, text: &str) -> Vec<String> {
        let clean: String = if self.lower_case {
            // A letter at a time: a sigma at the end of a word is as any other, as it was in training.
            text.nfd().filter(|letter| !is_accent(*letter)).flat_map(char::to_lowercase).collect()
        } else {
            text.to_owned()
        };
        let mut words = vec![String::new()];
        for letter in clean.chars().filter(|letter| !is_noise(*letter)) {
            if letter.is_whitespace() {
                words.push(String::new());
            } else if stands_alone(letter) {
                words.extend([letter.to_string(), String::new()]);
            } else if let Some(word) = words.last_mut() {
                word.push(letter);
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    fn cut(&self, word: &str, ids: &mut Vec<usize>) {
        let ends: Vec<usize> =
            word.char_indices().map(|(at, letter)| at + letter.len_utf8()).collect();
        if ends.len() > LONGEST_WORD {
            return ids.push(self.unknown);
        }
        let (begun, mut from) = (ids.len(), 0);
        while from < word.len() {
            let longest = ends.iter().rev().take_while(|end| **end > from).find_map(|end| {
                let piece = &word[from..*end];
                let id = match from {
                    0 => self.pieces.get(piece),
                    _ => self.pieces.get(&format!("##{piece}")),
                };
                id.map(|id| (*id, *end))
            });
            let Some((id, end)) = longest else {
                // A word with a piece that nothing stands for is unknown as a whole.
                ids.truncate(begun);
                return ids.push(self.unknown);
            };
            ids.push(id);
            from = end;
        }
    }
}

fn is_accent(letter: char) -> bool {
    letter.general_category() == GeneralCategory::NonspacingMark
}

fn is_noise(letter: char) -> bool {
    use GeneralCategory::{Control, Format, PrivateUse};
    letter == char::REPLACEMENT_CHARACTER
        || (!letter.is_whitespace()
            && matches!(letter.general_category(), Control | Format | PrivateUse))
}

/// Punctuation, and ideographs, between which nobody writes spaces.
fn stands_alone(letter: char) -> bool {
    letter.is_ascii_punctuation()
        || letter.general_category_group() == GeneralCategoryGroup::Punctuation
        || matches!(letter,
            '\u{4e00}'..='\u{9fff}' | '\u{3400}'..='\u{4dbf}' | '\u{20000}'..='\u{2a6df}'
            | '\u{2a700}'..='\u{2ceaf}' | '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2fa1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<usize> {
        let vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\nzurich\n,\n\u{65e5}\nx";
        WordPiece::new(vocabulary, true, 11).expect("a vocabulary").ids(text, 8)
    }

    #[test]
    fn a_vocabulary_without_weights_is_refused() {
        let error = WordPiece::new("[PAD]\n[UNK]\n[CLS]\n[SEP]\nx", true, 4).err();
        assert_eq!(error.as_deref(), Some("vocab.txt: it has 5 lines, but config.json says 4"));
    }

    #[test]
    fn words_are_cut_into_the_longest_pieces() {
        assert_eq!(tokens("Unaffable, Z\u{fc}rich"), [2, 4, 5, 6, 8, 7, 3]);
        assert_eq!(tokens("x\u{65e5}x"), [2, 10, 9, 10, 3]);
        assert_eq!(tokens(""), [2, 3]);
        // Nothing is seen of a soft hyphen; an Arabic comma is a comma, and unknown here.
        assert_eq!(tokens("x\u{ad}\u{60c}x\u{301}"), [2, 10, 1, 10, 3]);
    }

    #[test]
    fn what_nothing_stands_for_is_unknown_as_a_whole() {
        assert_eq!(tokens("unaffables x"), [2, 1, 10, 3]);
        assert_eq!(tokens(&"x".repeat(LONGEST_WORD + 1)), [2, 1, 3]);
    }

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end_token() {
        assert_eq!(tokens(&"x ".repeat(50)), [2, 10, 10, 10, 10, 10, 10, 3]);
    }
}
