//! Whether two texts say the same in other words.
//!
//! Errs towards keeping both: a duplicate costs a little space, a merged difference costs a fact.

use std::collections::BTreeSet;

use super::query::STOP;
use super::text::{stemmer, words};

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
    "like",
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

/// What two texts of the same meaning share, spelt so that it can be compared.
struct Gist {
    stems: BTreeSet<String>,
    numbers: Vec<String>,
    negations: usize,
}

impl Gist {
    fn of(text: &str) -> Self {
        let stemmer = stemmer();
        let lower = text.to_lowercase();
        let negations = words(text).filter(|word| NEGATIONS.contains(&word.as_str())).count()
            + lower.matches("n't").count()
            + lower.matches("n’t").count();
        let mut numbers: Vec<String> =
            words(text).filter(|word| word.chars().any(char::is_numeric)).collect();
        numbers.sort();
        let telling = |word: &String| {
            !STOP.contains(&word.as_str())
                && !NEGATIONS.contains(&word.as_str())
                && (word == "like" || !FILLERS.contains(&word.as_str()))
        };
        let stems =
            words(text).filter(telling).map(|word| stemmer.stem(&word).into_owned()).collect();
        Self { stems, numbers, negations }
    }
}

/// Whether `one` and `other` say the same. Numbers and negations have to agree: "order 17" is not
/// "order 18", and "not" is the whole difference between two sentences.
pub fn alike(one: &str, other: &str) -> bool {
    let (a, b) = (Gist::of(one), Gist::of(other));
    if a.numbers != b.numbers || a.negations != b.negations || a.stems.is_empty() {
        return false;
    }
    let (few, many) =
        if a.stems.len() <= b.stems.len() { (&a.stems, &b.stems) } else { (&b.stems, &a.stems) };
    // A word and its misspelling count as one.
    let matched = few
        .iter()
        .filter(|word| many.contains(*word) || many.iter().any(|m| misspelt(word, m)))
        .count();
    let all = few.len() + many.len() - matched;
    let shared = matched as f64 / all as f64;
    let contained = matched == few.len();
    shared >= 0.8 || (contained && few.len() >= 2 && shared >= 0.65)
}

/// Two letters changed places. Another letter would be another word: "walking" is not "talking".
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_in_other_words() {
        for (one, other) in [
            ("Ann likes green tea", "ann LIKES green tea!!"),
            ("Ann really likes green tea", "Green tea is what Ann likes"),
            ("My favourite colour is blue", "Blue is my favourite colour."),
            ("Alexandra moved to Lisbon", "Alexnadra moved to Lisbon"),
            ("I work at Acme as an engineer", "Actually I work as an engineer at Acme"),
        ] {
            assert!(alike(one, other), "{one} / {other}");
        }
    }

    #[test]
    fn a_difference_that_matters() {
        for (one, other) in [
            ("Ann likes tea", "Ann does not like tea"),
            ("Ann likes tea", "Ann dislikes tea"),
            ("Order 17 was shipped", "Order 18 was shipped"),
            ("Ann moved to Lisbon", "Ann moved to Berlin"),
            ("Ann likes tea", "Bob likes tea"),
            ("Ann likes walking home", "Ann likes talking home"),
            ("Ann has a dog", "Ann has a dog and two cats and a parrot"),
            ("load 0123456789abcdef 7", "load 0123456789abcdef 8"),
        ] {
            assert!(!alike(one, other), "{one} / {other}");
        }
    }
}
