//! What a question asks for: its words, less those that every text has.

use super::text::{Vocabulary, stemmer, words};

/// Words that tell nothing about what is meant.
pub(super) const STOP: &[&str] = &[
    "a", "about", "after", "all", "am", "an", "and", "any", "are", "as", "at", "be", "been",
    "before", "but", "by", "can", "could", "did", "do", "does", "for", "from", "had", "has",
    "have", "he", "her", "hers", "him", "his", "how", "i", "if", "in", "into", "is", "isn", "it",
    "its", "just", "ll", "me", "my", "no", "not", "of", "on", "or", "our", "out", "s", "she",
    "should", "so", "some", "such", "t", "than", "that", "the", "their", "them", "then", "there",
    "these", "they", "this", "those", "to", "too", "up", "us", "ve", "very", "was", "we", "were",
    "what", "when", "where", "which", "who", "whom", "whose", "why", "will", "with", "would",
    "you", "your",
];

/// Words of a question that are looked at.
const MOST_WORDS: usize = 32;

/// One word of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// As it was written, in lower case.
    pub text: String,
    /// The hash of its stem.
    pub term: i32,
}

/// A question, cut up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Each stem once, in order.
    pub words: Vec<Word>,
}

impl Query {
    /// Cuts up `text`. A question of nothing but common words keeps them.
    pub fn new(text: &str, vocabulary: &Vocabulary) -> Self {
        let telling = Self::telling(text, vocabulary);
        if telling.words.is_empty() { Self::of(words(text), vocabulary) } else { telling }
    }

    /// The words of `text` that are not common, if there are any.
    pub(super) fn telling(text: &str, vocabulary: &Vocabulary) -> Self {
        Self::of(words(text).filter(|word| !STOP.contains(&word.as_str())), vocabulary)
    }

    fn of(texts: impl Iterator<Item = String>, vocabulary: &Vocabulary) -> Self {
        let stemmer = stemmer();
        let mut words: Vec<Word> = Vec::new();
        for text in texts {
            let term = vocabulary.term(&stemmer.stem(&text));
            if words.len() < MOST_WORDS && !words.iter().any(|word| word.term == term) {
                words.push(Word { text, term });
            }
        }
        Self { words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::Tenant;

    fn texts(question: &str) -> Vec<String> {
        let query = Query::new(question, &Vocabulary::new(&Tenant::default()));
        query.words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn common_words_are_dropped_unless_there_are_no_others() {
        assert_eq!(texts("When did Ann's sisters visit the sister?"), ["ann", "sisters", "visit"]);
        assert_eq!(texts("who are you"), ["who", "are", "you"]);
        assert!(texts("?!").is_empty());
    }
}
