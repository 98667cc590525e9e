//! Rules for the environment of a component, plain and secret. No message quotes what may be a secret.

use super::Rules;
use crate::config::model::Component;
use crate::config::service_parameters as parameters;

const DATA_DIR: &str = "data_dir";

impl Rules<'_> {
    pub(super) fn variables(&mut self, name: &str, component: &Component) {
        for (variable, value) in &component.env {
            let at = ["components", name, "env", variable.as_str()];
            self.variable_name(&at);
            if let Some(message) = parameters::wrong_value(variable, value) {
                let hint = match parameters::takes(variable) {
                    Some(parameters::Takes::Secret | parameters::Takes::Url) => format!(
                        "put a reference under `components.{name}.secrets`, for example `{variable}: env:{variable}`"
                    ),
                    _ => String::new(),
                };
                self.say(&at, &message, &hint);
            }
            self.placeholder(&at, value);
        }
        for (variable, reference) in &component.secrets {
            let at = ["components", name, "secrets", variable.as_str()];
            self.variable_name(&at);
            if !is_reference(reference) {
                let message = format!("`{variable}` is not a reference to a secret");
                let hint = format!(
                    "`env:{variable}` or `file:PATH`; a secret itself must not be written here, and one that was is not secret any more"
                );
                self.say(&at, &message, &hint);
            }
            if component.env.contains_key(variable) {
                let message = format!("`{variable}` is in `env` and in `secrets` of `{name}`");
                self.say_key(&at, &message, "keep one of them");
            }
        }
        self.files(name, component);
    }

    /// `X` and `X_FILE` at once: the service refuses to choose.
    fn files(&mut self, name: &str, component: &Component) {
        let names = || component.env.keys().chain(component.secrets.keys());
        for variable in names().filter(|v| v.starts_with("NEUROCA_")) {
            let Some(stem) = variable.strip_suffix("_FILE") else { continue };
            if names().any(|other| other == stem) {
                let group = if component.env.contains_key(variable) { "env" } else { "secrets" };
                let message = format!("`{name}` gives both `{stem}` and `{variable}`");
                self.say_key(&["components", name, group, variable], &message, "keep one of them");
            }
        }
    }

    fn variable_name(&mut self, at: &[&str; 4]) {
        let [_, component, _, variable] = *at;
        let valid = variable.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && variable.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !valid {
            let message = format!("`{variable}` cannot be the name of an environment variable");
            self.say_key(at, &message, "letters, digits and `_`, no digit first");
        } else if variable == "PORT" {
            let message =
                format!("`PORT` of `{component}` is chosen for each process and cannot be set");
            self.say_key(at, &message, "the address for clients is `edge.listen`");
        } else if variable.starts_with("NEUROCA_DEPLOY_") {
            let message = format!(
                "`{variable}` is a name of this tool's own and is never passed to a component"
            );
            self.say_key(at, &message, "use another name");
        } else if variable.starts_with("NEUROCA_") && parameters::takes(variable).is_none() {
            let message = format!(
                "`{variable}` is not a parameter of the service, which refuses to start with it"
            );
            let known =
                "the known names are in the deployment guide; names without NEUROCA_ are free";
            let hint = parameters::suggestion(variable).unwrap_or_else(|| known.into());
            self.say_key(at, &message, &hint);
        }
    }

    /// A misspelt placeholder would end up as a folder of that name.
    fn placeholder(&mut self, at: &[&str; 4], value: &str) {
        let names =
            value.split("${").skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name));
        for name in names.filter(|name| *name != DATA_DIR) {
            let plain: String =
                name.to_lowercase().chars().map(|c| if c == '-' { '_' } else { c }).collect();
            if strsim::damerau_levenshtein(&plain, DATA_DIR) <= 2 {
                let message = format!("`{}` has an unknown placeholder `${{{name}}}`", at[3]);
                self.say(at, &message, "did you mean `${data_dir}`?");
            }
        }
    }
}

fn is_reference(text: &str) -> bool {
    match text.split_once(':') {
        Some(("env", name)) => {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        }
        Some(("file", path)) => !path.is_empty() && !path.contains('\0'),
        _ => false,
    }
}
