//! From text to what is indexed: hashed word stems in their order, and hashed trigrams.
//!
//! The hash is salted with the tenant: words of two tenants never meet in an index, so that neither
//! the time that a search takes nor its ranking tells one about the other. The database sees no word;
//! where memories are encrypted, the hash has a key, so that a dictionary is of no use to a thief.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use ring::hmac;
use rust_stemmers::{Algorithm, Stemmer};
use sha2::{Digest, Sha256};

use crate::memory::{Memory, Moment};
use crate::sealing::DataKey;
use crate::tenant::Tenant;

/// Words of one memory that are indexed; the rest of a very long one is found by nothing.
const MOST_WORDS: usize = 20_000;
/// Shorter words have no trigrams of their own.
const SHORTEST_FUZZY: usize = 3;

/// What the index keeps of a memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Indexed {
    /// Stems in the order of the text, then the date's.
    pub terms: Vec<i32>,
    /// Trigrams of its words, each once.
    pub grams: Vec<i32>,
}

/// Hashes of the words of one tenant.
#[derive(Clone)]
pub struct Vocabulary {
    version: i64,
    hashes: Hashes,
}

#[derive(Clone)]
enum Hashes {
    Salted(Sha256),
    Keyed(hmac::Key),
}

impl Vocabulary {
    /// The vocabulary of `tenant` where nothing is encrypted.
    pub fn new(tenant: &Tenant) -> Self {
        let salted = Sha256::new().chain_update(tenant.name()).chain_update([0]);
        Self { version: 0, hashes: Hashes::Salted(salted) }
    }

    /// The vocabulary of the tenant whose key this is.
    pub fn of(key: &DataKey) -> Self {
        Self { version: key.version(), hashes: Hashes::Keyed(key.index().clone()) }
    }

    /// The version of its key; 0 without one.
    pub fn version(&self) -> i64 {
        self.version
    }

    fn digest(&self, kind: u8, parts: impl Iterator<Item: AsRef<[u8]>>) -> [u8; 16] {
        let mut short = [0; 16];
        match &self.hashes {
            Hashes::Salted(salted) => {
                let mut hash = salted.clone().chain_update([kind]);
                parts.for_each(|part| hash.update(part));
                short.copy_from_slice(&hash.finalize()[..16]);
            }
            Hashes::Keyed(key) => {
                let mut hash = hmac::Context::with_key(key);
                hash.update(&[kind]);
                parts.for_each(|part| hash.update(part.as_ref()));
                short.copy_from_slice(&hash.sign().as_ref()[..16]);
            }
        }
        short
    }

    fn hash(&self, kind: u8, word: &[u8]) -> i32 {
        let digest = self.digest(kind, std::iter::once(word));
        i32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }

    /// The same for two texts of the same words, whatever is between them.
    pub fn content_hash(&self, content: &str) -> Vec<u8> {
        self.digest(b'c', words(content).map(|word| word + "\0")).to_vec()
    }

    /// The hash of a stem.
    pub fn term(&self, stem: &str) -> i32 {
        self.hash(b'w', stem.as_bytes())
    }

    /// The hashes of a word's trigrams, its beginning and end counting as letters.
    pub fn grams(&self, word: &str) -> Vec<i32> {
        grams(word).iter().map(|gram| self.hash(b'g', gram.as_bytes())).collect()
    }

    /// What the index keeps of `memory`.
    pub fn index(&self, memory: &Memory) -> Indexed {
        let stemmer = stemmer();
        let words: Vec<String> = words(&memory.content).take(MOST_WORDS).collect();
        let mut terms: Vec<i32> = words.iter().map(|word| self.term(&stemmer.stem(word))).collect();
        terms.extend(date_words(memory.occurred_at).iter().map(|word| self.term(word)));
        let distinct: BTreeSet<&String> = words.iter().collect();
        let mut grams: Vec<i32> = distinct
            .into_iter()
            .filter(|word| word.chars().count() >= SHORTEST_FUZZY)
            .flat_map(|word| self.grams(word))
            .collect();
        grams.sort_unstable();
        grams.dedup();
        Indexed { terms, grams }
    }
}

/// The stemmer of both sides.
pub(super) fn stemmer() -> Stemmer {
    Stemmer::create(Algorithm::English)
}

/// Lower-case words: letters and digits of any script; an apostrophe ends what follows it.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '’'))
        .map(|word| word.trim_matches(['\'', '’']))
        .map(|word| word.split(['\'', '’']).next().unwrap_or_default())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// `^word$` in pieces of three.
pub(super) fn grams(word: &str) -> Vec<String> {
    let padded: Vec<char> = std::iter::once('^').chain(word.chars()).chain(['$']).collect();
    padded.windows(3).map(|three| three.iter().collect()).collect()
}

/// The share of trigrams that two words have in common: 1 for the same word.
pub(super) fn likeness(one: &str, other: &str) -> f64 {
    let (one, other): (BTreeSet<_>, BTreeSet<_>) =
        (grams(one).into_iter().collect(), grams(other).into_iter().collect());
    let common = one.intersection(&other).count() as f64;
    2.0 * common / ((one.len() + other.len()) as f64).max(1.0)
}

pub(super) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Year, month and day as a question would name them.
fn date_words(moment: Moment) -> Vec<String> {
    let Ok(time) = jiff::Timestamp::from_millisecond(moment.0) else { return Vec::new() };
    let date = time.to_zoned(TimeZone::UTC).date();
    let month = usize::try_from(date.month() - 1).ok().and_then(|number| MONTHS.get(number));
    let stemmer = stemmer();
    let month = month.map(|name| stemmer.stem(name).into_owned());
    [Some(date.year().to_string()), month, Some(date.day().to_string())]
        .into_iter()
        .flatten()
        .collect()
}

/// About how many tokens a language model takes `text` for: more rather than fewer.
pub fn estimated_tokens(text: &str) -> usize {
    let (ascii, other) = text.chars().fold((0usize, 0usize), |(ascii, other), letter| {
        if letter.is_ascii() { (ascii + 1, other) } else { (ascii, other + 1) }
    });
    // Letters beyond ASCII are often a token each.
    ascii.div_ceil(4).max(text.split_ascii_whitespace().count()) + other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_people_mean_by_them() {
        let found: Vec<_> = words("Ann's tea-time, isn't it? 日本 ÜBER 42").collect();
        assert_eq!(found, ["ann", "tea", "time", "isn", "it", "日本", "über", "42"]);
    }

    #[test]
    fn tenants_share_no_hash_and_the_hash_is_for_ever() {
        let a = Vocabulary::new(&Tenant::new("a").expect("a name"));
        let b = Vocabulary::new(&Tenant::new("b").expect("a name"));
        assert_ne!(a.term("tea"), b.term("tea"));
        // Stored: another value here would make every index useless.
        assert_eq!(a.term("tea"), Vocabulary::new(&Tenant::new("a").expect("a name")).term("tea"));
        assert_eq!(Vocabulary::new(&Tenant::default()).term("tea"), TEA);
    }
    const TEA: i32 = 1_359_886_082;
    const LIKED: [u8; 4] = [73, 114, 84, 197];

    #[test]
    fn a_date_can_be_asked_for() {
        assert_eq!(date_words(Moment(1_700_000_000_000)), ["2023", "novemb", "14"]);
    }

    #[test]
    fn spelling_mistakes_stay_alike() {
        assert!(likeness("alexandra", "alexnadra") > 0.5);
        assert!(likeness("alexandra", "alexandria") > 0.7);
        assert!(likeness("tea", "coffee") < 0.2);
    }

    #[test]
    fn the_same_words_have_one_hash() {
        let words = Vocabulary::new(&Tenant::default());
        assert_eq!(words.content_hash("I like tea!"), words.content_hash(" i LIKE  tea"));
        assert_ne!(words.content_hash("I like tea"), words.content_hash("I liketea"));
        // Stored, as above.
        assert_eq!(words.content_hash("tea")[..4], LIKED);
    }
}
