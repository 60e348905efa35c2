//! The state machine of rotation.
