//! Who needs whom, by number: a walk over ten thousand intents must not look up each name.

use std::collections::BTreeMap;
use std::sync::Arc;

use rave_domain::IntentName;

use crate::catalog::Catalog;
use crate::intent::Intent;

/// An intent's number among all of its catalog, in the order of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(usize);

impl Place {
    /// The number, from 0; below the catalog's length.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// The intents in the order of their names, each with what it needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
struct Node {
    intent: Arc<Intent>,
    /// Each once, in the order of names.
    needs: Box<[Place]>,
}

impl Graph {
    /// The checks have made sure that every dependency is there.
    pub(crate) fn of(intents: &BTreeMap<IntentName, Arc<Intent>>) -> Self {
        let places: BTreeMap<&IntentName, Place> = intents.keys().zip((0..).map(Place)).collect();
        let nodes = intents
            .values()
            .map(|intent| {
                let needs = intent.depends_on.iter();
                let mut needs: Vec<Place> =
                    needs.filter_map(|name| places.get(name).copied()).collect();
                needs.sort_unstable();
                needs.dedup();
                Node {
                    intent: Arc::clone(intent),
                    needs: needs.into(),
                }
            })
            .collect();
        Self { nodes }
    }
}

impl Catalog {
    /// The place of the intent with a name.
    #[must_use]
    pub fn place(&self, name: &IntentName) -> Option<Place> {
        let nodes = &self.graph().nodes;
        let found = nodes.binary_search_by(|node| node.intent.name.cmp(name));
        found.ok().map(Place)
    }

    /// The intent at a place; `None` for one of another catalog that is larger.
    #[must_use]
    pub fn at(&self, place: Place) -> Option<&Arc<Intent>> {
        self.graph().nodes.get(place.0).map(|node| &node.intent)
    }

    /// What the intent at a place depends on: each once, in the order of names.
    #[must_use]
    pub fn needs_of(&self, place: Place) -> &[Place] {
        self.graph()
            .nodes
            .get(place.0)
            .map_or(&[], |node| &node.needs)
    }
}
