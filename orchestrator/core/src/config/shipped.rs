//! The project files that the binary carries: what `init` writes and what a project's own files
//! override.

macro_rules! carried {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../", $path)))),*]
    };
}

/// Path in the project and content, sorted by path.
pub fn defaults() -> &'static [(&'static str, &'static str)] {
    carried![
        "environments/base.yaml",
        "environments/development.yaml",
        "environments/production.yaml",
        "environments/staging.yaml",
        "kubernetes/00-namespace.yaml.tera",
        "kubernetes/10-access.yaml.tera",
        "kubernetes/20-network.yaml.tera",
        "kubernetes/30-config.yaml.tera",
        "kubernetes/40-storage.yaml.tera",
        "kubernetes/50-migrations.yaml.tera",
        "kubernetes/60-components.yaml.tera",
        "kubernetes/70-availability.yaml.tera",
        "kubernetes/80-routes.yaml.tera",
        "kubernetes/README.md.tera",
        "kubernetes/_labels.tera",
        "kubernetes/_pod.tera",
        "templates/compose/docker-compose.yml.tera",
        "templates/local/components.md.tera",
        "templates/local/neuroca-deploy.service.tera",
    ]
}
