//! What fills, removals and reads of the disk tier have to agree on.

use crate::changes::Changes;
use crate::fill::Filling;
use crate::{Key, Moment};
use std::collections::HashMap;
use std::sync::Arc;

/// Fills by key, and the names that changed lately.
pub(crate) struct UnderWay<H> {
    /// The newest last.
    pub(crate) fills: HashMap<Key, Vec<Arc<Filling<H>>>>,
    removed: Changes,
    stored: Changes,
}

impl<H> Default for UnderWay<H> {
    fn default() -> Self {
        Self { fills: HashMap::new(), removed: Changes::default(), stored: Changes::default() }
    }
}

impl<H> UnderWay<H> {
    pub(crate) fn moment(&self) -> Moment {
        Moment { removed: self.removed.now(), stored: self.stored.now() }
    }

    /// Whether `name` was removed since `moment`, or may have been.
    pub(crate) fn is_removed(&self, name: &[u8; 16], since: Moment) -> bool {
        self.removed.reach(name, since.removed)
    }

    /// Whether something was stored under `name` since `moment`, or may have been.
    pub(crate) fn is_stored(&self, name: &[u8; 16], since: Moment) -> bool {
        self.stored.reach(name, since.stored)
    }

    /// Notes that something is stored under a name.
    pub(crate) fn store(&mut self, name: [u8; 16]) {
        self.stored.add(name);
    }

    /// Notes that a name is removed, and has its fills, of every variant, stored nowhere.
    pub(crate) fn forget(&mut self, name: [u8; 16]) {
        self.removed.add(name);
        let fills = self.fills.iter().filter(|(filled, _)| filled.name == name);
        fills.flat_map(|(_, fills)| fills).for_each(|filling| filling.forget());
    }
}
