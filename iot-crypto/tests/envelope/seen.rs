//! The plainest memory of positions, also for the tests of groups.

use std::collections::HashSet;

use iot_core::{Freshness, Position};
use iot_crypto::{ReplayError, ReplayGuard};

#[derive(Debug, Default)]
pub struct Seen(pub HashSet<Position>);

impl ReplayGuard for Seen {
    fn check(&self, position: &Position) -> Result<(), ReplayError> {
        if self.0.contains(position) { Err(ReplayError::Repeated) } else { Ok(()) }
    }

    fn accept(&mut self, position: &Position) -> Result<Freshness, ReplayError> {
        if self.0.insert(*position) { Ok(Freshness::Unproven) } else { Err(ReplayError::Repeated) }
    }
}
