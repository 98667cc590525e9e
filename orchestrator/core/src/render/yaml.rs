//! Whether a rendered YAML document is one, before anybody applies half of it.

use granit_parser::Parser;

use super::errors::RenderError;

/// Gives `text` back unless it is at a YAML path and not YAML.
pub(super) fn check(path: &str, text: String, template: &str) -> Result<String, RenderError> {
    if !path.ends_with(".yml") && !path.ends_with(".yaml") {
        return Ok(text);
    }
    let wrong = Parser::new_from_str(&text).find_map(Result::err);
    match wrong {
        None => Ok(text),
        Some(error) => {
            let marker = error.marker();
            let message = format!(
                "`{path}` would not be valid YAML at line {}, column {}: {}",
                marker.line(),
                marker.col() + 1,
                error.info()
            );
            Err(RenderError::at(template, 1, 1, message)
                .with_hint("put values through the filter `quoted`: {{ value | quoted }}"))
        }
    }
}
