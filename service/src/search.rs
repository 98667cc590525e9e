//! Finding memories by words, and with embeddings by meaning: what is indexed, how a question is cut up, how candidates are scored
//! and several rankings fused.
//!
//! The database keeps hashed words and returns candidates; all ranking happens here, in functions on
//! plain values, so that it is the same on every database. The database is asked through `store::Look` alone.

mod alike;
mod answer;
mod counts;
mod fuse;
mod like;
mod meaning;
mod period;
mod prefer;
mod query;
mod score;
mod shelf;
mod spelling;
mod statistics;
mod text;
mod timely;
mod vocabularies;
mod wording;

pub use alike::alike;
pub use answer::{Found, Hit, SearchError, Searcher, Why, Wish};
pub use meaning::Meaning;
pub use query::Query;
pub use statistics::{Sample, Statistics};
pub use text::{Indexed, Vocabulary, estimated_tokens};
pub use vocabularies::Vocabularies;
