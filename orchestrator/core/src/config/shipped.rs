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
        "templates/compose/docker-compose.yml.tera",
        "templates/local/components.md.tera",
        "templates/local/neuroca-deploy.service.tera",
    ]
}
