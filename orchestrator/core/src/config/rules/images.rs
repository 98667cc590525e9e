//! What is run on a cluster has to be an image that a registry has.

use super::Rules;
use crate::config::model::Environment;

impl Rules<'_> {
    /// The bundled service has an image that the tool can name; what else there is, only its maker knows.
    pub(super) fn images(&mut self, environment: &Environment) {
        if environment.kubernetes.is_none() {
            return;
        }
        let unnamed = environment
            .components
            .iter()
            .filter(|(_, c)| c.kubernetes.image.is_none() && c.artifact != "bundled");
        for (name, _) in unnamed {
            let message = format!("`{name}` has no image, and Kubernetes runs images");
            let hint = format!(
                "give `components.{name}.kubernetes.image`, best with its digest: `NAME@sha256:...`"
            );
            self.say(&["components", name, "kubernetes", "image"], &message, &hint);
        }
    }
}
