//! Identifiers, each a type of its own so that one cannot stand for another.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A table, source or materialized view within one database. The catalog uses its OID.
    RelationId(u32)
);
id!(
    /// A running dataflow. A materialized view's job has the number of its relation.
    JobId(u32)
);
id!(
    /// A state table: the fingerprint of the plan that owns it, so that a restart finds its state.
    StateTableId(u64)
);
id!(
    /// A worker's place among its peers, from 0.
    WorkerIndex(usize)
);
