//! Placeholders in the queries of the environment file.

/// Fills `{{component}}` and `{{revision}}` in. `Err` says what is wrong with the query.
pub fn fill(query: &str, component: &str, revision: &str) -> Result<String, String> {
    let mut out = String::with_capacity(query.len() + component.len() + revision.len());
    let mut rest = query;
    while let Some(open) = rest.find("{{") {
        let inside = &rest[open + 2..];
        let close = inside.find("}}").ok_or("`{{` is not closed by `}}`")?;
        out.push_str(&rest[..open]);
        out.push_str(&match inside[..close].trim() {
            "component" => in_string(component),
            "revision" => in_string(revision),
            other => {
                return Err(format!(
                    "`{{{{{other}}}}}` is no placeholder; there are {{{{component}}}} and \
                     {{{{revision}}}}"
                ));
            }
        });
        rest = &inside[close + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Whether the query can give a query that both sides can be told apart by.
pub fn check(query: &str) -> Result<(), String> {
    if query.trim().is_empty() {
        return Err("it is empty".into());
    }
    if fill(query, "c", "a")? == fill(query, "c", "b")? {
        return Err("it does not contain {{revision}}, so both revisions would get the same \
                    counts"
            .into());
    }
    Ok(())
}

/// As it is written between the quotes of a PromQL string.
fn in_string(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_placeholders_are_filled_wherever_they_stand() {
        let query = r#"sum by (le) (x{c="{{component}}",r="{{ revision }}"}) or {{component}}"#;
        let expected = r#"sum by (le) (x{c="api",r="api-1\"\\"}) or api"#;
        assert_eq!(fill(query, "api", "api-1\"\\").as_deref(), Ok(expected));
    }

    #[test]
    fn a_query_that_cannot_tell_the_sides_apart_is_refused() {
        for (query, why) in [
            ("sum(x)", "{{revision}}"),
            ("  ", "empty"),
            ("x{r=\"{{revison}}\"}", "`{{revison}}`"),
            ("x{r=\"{{revision\"}", "not closed"),
        ] {
            let said = check(query).expect_err(query);
            assert!(said.contains(why), "{said}");
        }
        assert_eq!(check("x{r=\"{{revision}}\"}"), Ok(()));
    }
}
