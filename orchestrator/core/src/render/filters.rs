//! Filters that put a value safely into another language.

use tera::{Error, Kwargs, State, Tera, TeraResult, Value};

use crate::config::units::{Bytes, Millis};

pub(super) fn register(tera: &mut Tera) {
    tera.register_filter("quoted", |value: &Value, _: Kwargs, _: &State| quoted(value));
    tera.register_filter("compose", |value: &Value, _: Kwargs, _: &State| {
        quoted(value).map(|text| text.replace('$', "$$"))
    });
    tera.register_filter("systemd", |value: &str, _: Kwargs, _: &State| systemd(value));
    tera.register_filter("cell", |value: &str, _: Kwargs, _: &State| cell(value));
    tera.register_filter("variable", |value: &str, _: Kwargs, _: &State| variable(value));
    tera.register_filter("seconds", |value: &str, _: Kwargs, _: &State| {
        value.parse().map(|Millis(ms)| ms.div_ceil(1000)).map_err(Error::message)
    });
    tera.register_filter("bytes", |value: &str, _: Kwargs, _: &State| {
        value.parse().map(|Bytes(bytes)| bytes).map_err(Error::message)
    });
}

/// JSON, which is YAML that every reader takes for what it is.
fn quoted(value: &Value) -> TeraResult<String> {
    let text = serde_json::to_string(value).map_err(|e| Error::message(e.to_string()))?;
    // Line ends of YAML 1.1 that JSON leaves as they are.
    Ok(text
        .replace('\u{85}', "\\u0085")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029"))
}

/// One argument of a command line in a unit file.
fn systemd(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '%' | '$' => out.extend([c, c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Text in a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// A name of environment variables made of another name.
fn variable(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    upper.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_in_the_other_language() {
        assert_eq!(systemd("/opt/a \"b\"/100%/$HOME"), r#""/opt/a \"b\"/100%%/$$HOME""#);
        assert_eq!(cell("a|b\nc"), "a\\|b c");
        assert_eq!(variable("web-2"), "WEB_2");
    }
}
