//! History of the schema. Never imports `entity`: a migration must keep meaning what it meant.
