//! What threads meet at: the standard library's primitives, or loom's, which tries every order of their steps.

#[cfg(not(all(test, iot_loom)))]
pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard};

#[cfg(all(test, iot_loom))]
pub(super) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
