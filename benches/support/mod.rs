//! Shared parts of the benches: the load, the servers and databases they start, the floors, and the table.
//! Each bench is a program of its own that includes this folder and starts itself again as each floor.

pub(crate) mod backend;
pub(crate) mod connection;
pub(crate) mod fill;
pub(crate) mod flood;
pub(crate) mod floor;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod pgbench;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod report;
pub(crate) mod service;
pub(crate) mod side;
pub(crate) mod storm;
pub(crate) mod worker;
