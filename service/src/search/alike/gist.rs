//! What of a text can be compared: its telling words in their order, each with a stem that other words of
//! the same meaning share; its numbers; how often it denies; and where it says that something goes.

use std::borrow::Cow;

use crate::search::query::STOP;
use crate::search::text::{stemmer, words};

/// Words that colour a sentence and leave its meaning.
const FILLERS: &[&str] = &[
    "actually",
    "also",
    "anyway",
    "basically",
    "certainly",
    "currently",
    "definitely",
    "honestly",
    "indeed",
    "maybe",
    "now",
    "oh",
    "okay",
    "personally",
    "please",
    "quite",
    "really",
    "remember",
    "said",
    "say",
    "says",
    "simply",
    "something",
    "thing",
    "told",
    "totally",
    "truly",
    "user",
    "well",
    "yes",
];
const NEGATIONS: &[&str] = &[
    "cannot", "hardly", "neither", "never", "no", "nobody", "none", "nor", "not", "nothing",
    "without",
];
/// After these something has a part in what happens, which it loses in another place.
const DIRECTIONS: &[&str] = &["after", "before", "by", "from", "over", "than", "to"];
/// Forms that no stemmer brings together, and words that mean the same in what people tell.
const MEANINGS: &[(&str, &[&str])] = &[
    ("allergy", &["allergic"]),
    ("bear", &["birth", "birthday", "born"]),
    ("buy", &["bought", "purchase", "purchased", "purchases"]),
    ("call", &["name", "named", "names"]),
    ("eat", &["ate", "eaten"]),
    ("give", &["gave", "given"]),
    ("go", &["gone", "travel", "traveled", "travelled", "travels", "visit", "visited", "went"]),
    ("leave", &["left"]),
    ("like", &["enjoy", "enjoyed", "enjoys", "love", "loved", "loves"]),
    ("live", &["reside", "resided", "resides", "residing"]),
    ("make", &["made"]),
    ("meet", &["met"]),
    ("see", &["saw", "seen"]),
    ("speak", &["spoke", "spoken"]),
    ("take", &["taken", "took"]),
    ("work", &["employed", "job"]),
    ("write", &["wrote", "written"]),
];
/// What denies something in one word.
const DENIALS: &[(&str, &[&str])] = &[("like", &["dislike", "disliked", "dislikes"])];

/// A telling word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    text: String,
    stem: String,
}

impl Word {
    /// Whether it is the same word, perhaps with two letters in each other's place. Another letter would be
    /// another word: "walking" is not "talking".
    pub(super) fn is(&self, other: &Self) -> bool {
        self.stem == other.stem || misspelt(&self.text, &other.text)
    }
}

pub(super) struct Gist {
    /// Each meaning once, where it was first.
    pub(super) words: Vec<Word>,
    pub(super) numbers: Vec<String>,
    pub(super) negations: usize,
    /// What stands after which direction.
    pub(super) directed: Vec<(String, Word)>,
}

impl Gist {
    pub(super) fn of(text: &str) -> Self {
        let lower = text.to_lowercase();
        let mut gist = Self {
            words: Vec::new(),
            numbers: Vec::new(),
            negations: lower.matches("n't").count() + lower.matches("n’t").count(),
            directed: Vec::new(),
        };
        let mut direction = None;
        for text in words(text) {
            if DIRECTIONS.contains(&text.as_str()) {
                direction = Some(text);
                continue;
            }
            if NEGATIONS.contains(&text.as_str()) {
                gist.negations += 1;
                continue;
            }
            if STOP.contains(&text.as_str()) || FILLERS.contains(&text.as_str()) {
                continue;
            }
            if text.chars().any(char::is_numeric) {
                gist.numbers.push(text.clone());
            }
            let word = gist.understood(text);
            if let Some(direction) = direction.take() {
                gist.directed.push((direction, word.clone()));
            }
            if !gist.words.iter().any(|known| known.stem == word.stem) {
                gist.words.push(word);
            }
        }
        gist.numbers.sort();
        gist
    }

    fn understood(&mut self, text: String) -> Word {
        let among = |table: &[(&'static str, &[&str])]| {
            table.iter().find(|(_, others)| others.contains(&text.as_str())).map(|(one, _)| *one)
        };
        let denied = among(DENIALS);
        self.negations += usize::from(denied.is_some());
        let meant: Cow<'_, str> = match denied.or_else(|| among(MEANINGS)) {
            Some(other) => other.into(),
            None => text.as_str().into(),
        };
        let stem = stemmer().stem(&meant).into_owned();
        Word { text, stem }
    }

    /// Whether `other` has the same word somewhere.
    pub(super) fn has(&self, word: &Word) -> bool {
        self.words.iter().any(|own| own.is(word))
    }
}

fn misspelt(one: &str, other: &str) -> bool {
    let sorted = |word: &str| {
        let mut letters: Vec<char> = word.chars().collect();
        letters.sort_unstable();
        letters
    };
    one.len() == other.len()
        && one.chars().count() >= 6
        && strsim::damerau_levenshtein(one, other) == 1
        && sorted(one) == sorted(other)
}
