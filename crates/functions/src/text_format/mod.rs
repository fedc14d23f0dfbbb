//! The text form of every SQL type, both ways, as PostgreSQL writes and reads it.
