//! Which database schemas this binary works on.
//!
//! A pure rule on numbers: it knows neither a database nor a migration file.

/// The oldest schema that this binary works on.
pub const SCHEMA_MIN: i64 = 11;
/// The newest schema that this binary knows; its own migrations end here.
pub const SCHEMA_MAX: i64 = 13;

/// What a database says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaState {
    /// The last migration that was applied.
    pub version: i64,
    /// The lowest schema that a binary has to know to work on this one.
    pub compatible_from: i64,
}

/// Why this binary does not work on a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Incompatible {
    /// Nothing was ever migrated.
    #[error("the database has no schema yet; run `neuroca migrate` first")]
    Empty,
    /// Migrations are missing.
    #[error(
        "the database is at schema {found}, this neuroca needs at least {SCHEMA_MIN}; \
         run `neuroca migrate` of this version first"
    )]
    TooOld {
        /// The schema of the database.
        found: i64,
    },
    /// A newer neuroca changed it in a way that this one does not survive.
    #[error(
        "the database is at schema {found}, which needs a neuroca that knows schema {needs}; \
         this one knows up to {SCHEMA_MAX}: start a newer version"
    )]
    TooNew {
        /// The schema of the database.
        found: i64,
        /// What a binary has to know.
        needs: i64,
    },
}

/// Whether this binary works on a database in `state`; a newer schema is fine as long as the
/// database says so.
pub fn check(state: Option<SchemaState>) -> Result<SchemaState, Incompatible> {
    let state = state.ok_or(Incompatible::Empty)?;
    if state.version < SCHEMA_MIN {
        return Err(Incompatible::TooOld { found: state.version });
    }
    if state.compatible_from > SCHEMA_MAX {
        return Err(Incompatible::TooNew { found: state.version, needs: state.compatible_from });
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_is_fine_while_the_database_says_so() {
        let newer = SchemaState { version: SCHEMA_MAX + 3, compatible_from: SCHEMA_MAX };
        assert_eq!(check(Some(newer)), Ok(newer));
        let breaking = SchemaState { version: SCHEMA_MAX + 3, compatible_from: SCHEMA_MAX + 1 };
        assert!(matches!(check(Some(breaking)), Err(Incompatible::TooNew { .. })));
    }

    #[test]
    fn older_and_none_are_refused() {
        let old = SchemaState { version: SCHEMA_MIN - 1, compatible_from: 0 };
        assert!(matches!(check(Some(old)), Err(Incompatible::TooOld { .. })));
        assert_eq!(check(None), Err(Incompatible::Empty));
    }
}
