//! Whether two texts say the same in other words.
//!
//! Errs towards keeping both: a duplicate costs a little space, a merged difference costs a fact.

mod gist;

use gist::Gist;

/// Whether `one` and `other` say the same. Numbers and negations have to agree: "order 17" is not
/// "order 18", and "not" is the whole difference between two sentences. So has who does what: "Ann likes Bob"
/// is not "Bob likes Ann".
pub fn alike(one: &str, other: &str) -> bool {
    let (a, b) = (Gist::of(one), Gist::of(other));
    if a.numbers != b.numbers || a.negations != b.negations || a.words.is_empty() {
        return false;
    }
    let (few, many) = if a.words.len() <= b.words.len() { (&a, &b) } else { (&b, &a) };
    let matched = few.words.iter().filter(|word| many.has(word)).count();
    let all = few.words.len() + many.words.len() - matched;
    let shared = matched as f64 / all as f64;
    let contained = matched == few.words.len();
    let near = shared >= 0.8 || (contained && few.words.len() >= 2 && shared >= 0.65);
    near && !ends_exchanged(&a, &b) && !directions_exchanged(&a, &b)
}

/// "Ann likes Bob" and "Bob likes Ann"; but "green tea is what Ann likes" begins in the middle of "Ann likes
/// green tea".
fn ends_exchanged(a: &Gist, b: &Gist) -> bool {
    let ends = |gist: &Gist| Some((gist.words.first()?.clone(), gist.words.last()?.clone()));
    match (ends(a), ends(b)) {
        (Some((first, last)), Some((other_first, other_last))) => {
            !first.is(&last) && first.is(&other_last) && last.is(&other_first)
        }
        _ => false,
    }
}

/// "From Oslo to Rome" and "from Rome to Oslo".
fn directions_exchanged(a: &Gist, b: &Gist) -> bool {
    a.directed.iter().any(|(direction, word)| {
        b.directed.iter().any(|(same, other)| {
            direction == same && !word.is(other) && b.has(word) && a.has(other)
        })
    })
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
            ("Ann dislikes tea", "Ann doesn't like tea"),
            ("Ann lives in Lisbon", "Ann resides in Lisbon"),
            ("Ann went to Oslo in 2019", "In 2019 Ann visited Oslo"),
            ("Ann's dog is called Rex", "Ann has a dog named Rex"),
            ("Ann likes dark chocolate", "Ann likes dark chocoalte"),
            ("Ann prefers tea to coffee", "Ann prefers tea over coffee"),
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
            ("Ann likes Bob", "Bob likes Ann"),
            ("Ann prefers tea to coffee", "Ann prefers coffee to tea"),
            ("Ann moves from Lisbon to Oslo", "Ann moves from Oslo to Lisbon"),
            ("Ann likes tea more than coffee", "Ann likes coffee more than tea"),
            ("Ann likes walking home", "Ann likes talking home"),
            ("Ann has a dog", "Ann has a dog and two cats and a parrot"),
            ("load 0123456789abcdef 7", "load 0123456789abcdef 8"),
        ] {
            assert!(!alike(one, other), "{one} / {other}");
        }
    }
}
