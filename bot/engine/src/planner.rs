//! From a request to a plan: order, bound arguments, targets, previews, undos, locks, digest.
//!
//! [`order`] is pure and linear; the rest asks drivers what would change, read-only and within a
//! bound, and turns what cannot be observed into warnings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use rave_catalog::{ArgumentError, Bound, Catalog, Intent, Place, UndoRule};
use rave_domain::ids::{Digest, IntentName, LockKey, StepId, Target};
use rave_domain::plan::{Class, Operation, Plan, PlannedStep, Preview, StepRole, Undo};
use rave_domain::ports::driver::DriverError;
use rave_domain::request::{Order, RunRequest};
use rave_domain::value::Values;
use rave_domain::{ErrorCode, UserError};

use crate::shared::{Rules, Shared};

/// A node of the graph before anything is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    place: Place,
    role: StepRole,
    needs: BTreeSet<StepId>,
    after: BTreeSet<StepId>,
}

/// A step before its driver has looked at it.
struct Draft {
    node: Node,
    intent: Arc<Intent>,
    bound: Bound,
    /// The intent that undoes it.
    undo: Option<(Arc<Intent>, Bound)>,
}

/// How many steps of a plan are looked at in one task. A task for each costs more than most looks,
/// and up to this number `join_all` keeps them in one place instead of one place for each.
const LOOKS: usize = 30;

/// A plan and the values of its secrets, which must be sealed before the plan is used.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) secrets: BTreeMap<String, String>,
}

/// An intent that is not in the catalog, with the nearest names.
fn unknown_intent(catalog: &Catalog, name: &IntentName) -> UserError {
    let near = catalog.near(name.as_str());
    let error = UserError::new(
        ErrorCode::UnknownIntent,
        format!("there is no intent {name}"),
    );
    if near.is_empty() {
        error.hint("`/rave intents` lists them all")
    } else {
        error.hint(format!("did you mean {}?", near.join(" or ")))
    }
}

/// Puts the requested intents and their dependencies in order: dependencies first, ties by name,
/// each intent once. With [`Order::Sequential`] what an intent brings along waits for the one
/// requested before it.
fn order(catalog: &Catalog, request: &RunRequest) -> Result<Vec<Node>, UserError> {
    let requested: Vec<Option<Place>> = request
        .intents
        .iter()
        .map(|name| catalog.place(name))
        .collect();
    let mut walk = Walk {
        catalog,
        requested: requested.iter().copied().flatten().collect(),
        nodes: Vec::new(),
        steps: vec![None; catalog.len()],
    };
    let mut previous: Option<StepId> = None;
    for (name, root) in request.intents.iter().zip(requested) {
        let root = root.ok_or_else(|| unknown_intent(catalog, name))?;
        let first_new = walk.nodes.len();
        walk.visit(root);
        if let (Order::Sequential, Some(previous)) = (request.options.order, previous) {
            for node in walk.nodes.iter_mut().skip(first_new) {
                node.after.insert(previous);
            }
        }
        previous = walk.step(root);
    }
    Ok(walk.nodes)
}

/// A walk through the catalog.
struct Walk<'a> {
    catalog: &'a Catalog,
    requested: BTreeSet<Place>,
    nodes: Vec<Node>,
    /// The steps of the intents that have been passed, by place.
    steps: Vec<Option<StepId>>,
}

impl Walk<'_> {
    fn step(&self, place: Place) -> Option<StepId> {
        self.steps.get(place.index()).copied().flatten()
    }

    /// Depth first without recursion, so that a chain of any length fits.
    fn visit(&mut self, root: Place) {
        let mut stack = vec![(root, false)];
        while let Some((place, dependencies_done)) = stack.pop() {
            if self.step(place).is_some() {
                continue;
            }
            let needs = self.catalog.needs_of(place);
            if !dependencies_done {
                stack.push((place, true));
                let open = needs
                    .iter()
                    .rev()
                    .filter(|need| self.step(**need).is_none());
                stack.extend(open.map(|need| (*need, false)));
                continue;
            }
            let id = StepId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
            self.nodes.push(Node {
                place,
                role: if self.requested.contains(&place) {
                    StepRole::Requested
                } else {
                    StepRole::Dependency
                },
                needs: needs.iter().filter_map(|need| self.step(*need)).collect(),
                after: BTreeSet::new(),
            });
            if let Some(step) = self.steps.get_mut(place.index()) {
                *step = Some(id);
            }
        }
    }
}

/// The intent that undoes another by itself, if one does.
fn undo_of(catalog: &Catalog, intent: &Intent) -> Result<Option<Place>, UserError> {
    match &intent.undo {
        UndoRule::Intent(name) => catalog
            .place(name)
            .map(Some)
            .ok_or_else(|| unknown_intent(catalog, name)),
        UndoRule::Own | UndoRule::Disabled => Ok(None),
    }
}

fn at(catalog: &Catalog, place: Place) -> Result<&Arc<Intent>, UserError> {
    // Places are of this very catalog.
    catalog.at(place).ok_or_else(UserError::internal)
}

/// What the intents of a plan are bound to.
struct Bindings {
    /// Of all steps and undos, in order.
    places: Vec<Place>,
    bound: Vec<Option<Bound>>,
    /// What an undo needs stays; everything else is taken by its step.
    undos: BTreeSet<Place>,
}

impl Bindings {
    fn of(&mut self, place: Place) -> Result<Bound, UserError> {
        let index = self.places.binary_search(&place).ok();
        let bound = index.and_then(|index| self.bound.get_mut(index));
        let bound = match bound {
            Some(bound) if self.undos.contains(&place) => bound.clone(),
            Some(bound) => bound.take(),
            None => None,
        };
        bound.ok_or_else(UserError::internal)
    }

    /// The values of secrets, which go no further with the rest.
    fn take_secrets(&mut self) -> BTreeMap<String, String> {
        self.bound
            .iter_mut()
            .flatten()
            .flat_map(|bound| std::mem::take(&mut bound.secrets))
            .collect()
    }
}

/// Gives each node what its step is made of.
fn drafts(
    catalog: &Catalog,
    nodes: Vec<Node>,
    mut bindings: Bindings,
) -> Result<Vec<Draft>, UserError> {
    nodes
        .into_iter()
        .map(|node| {
            let intent = at(catalog, node.place)?;
            let undo = match undo_of(catalog, intent)? {
                Some(undo) => Some((Arc::clone(at(catalog, undo)?), bindings.of(undo)?)),
                None => None,
            };
            Ok(Draft {
                intent: Arc::clone(intent),
                bound: bindings.of(node.place)?,
                node,
                undo,
            })
        })
        .collect()
}

impl Shared {
    /// Makes the plan of a request under the given rules. Read-only.
    pub(crate) async fn plan(
        self: &Arc<Self>,
        rules: &Rules,
        request: &RunRequest,
    ) -> Result<Planned, UserError> {
        if request.intents.is_empty() {
            return Err(UserError::new(
                ErrorCode::InvalidArgument,
                "no intent was named",
            ));
        }
        let catalog = &rules.catalog;
        let nodes = order(catalog, request)?;
        let mut undos = BTreeSet::new();
        for node in &nodes {
            undos.extend(undo_of(catalog, at(catalog, node.place)?)?);
        }
        let mut places: Vec<Place> = nodes.iter().map(|node| node.place).collect();
        places.extend(&undos);
        places.sort_unstable();
        places.dedup();
        let hash = |param: &str, value: &str| self.sealer.keyed_hash(param, value);
        let bound = catalog
            .bind_places(&places, &request.arguments, &hash)
            .map_err(|errors| ArgumentError::together(&errors))?;
        let definitions: BTreeMap<IntentName, Digest> = places
            .iter()
            .filter_map(|place| catalog.at(*place))
            .map(|intent| (intent.name.clone(), intent.definition))
            .collect();
        let mut bindings = Bindings {
            places,
            bound: bound.into_iter().map(Some).collect(),
            undos,
        };
        let secrets = bindings.take_secrets();
        let steps = self.steps(drafts(catalog, nodes, bindings)?).await?;
        let mut requested: Vec<IntentName> = Vec::new();
        let mut seen = BTreeSet::new();
        for intent in &request.intents {
            if seen.insert(intent) {
                requested.push(intent.clone());
            }
        }
        let plan = Plan {
            requested,
            steps,
            options: request.options.clone(),
            max_parallel: self.settings.max_parallel,
            approvals: Vec::new(),
            definitions,
            catalog: catalog.digest(),
            policy: rules.policy.hash(),
            digest: Digest::of(b""),
        }
        .sealed();
        Ok(Planned { plan, secrets })
    }

    /// Lets drivers look at all steps side by side.
    async fn steps(self: &Arc<Self>, drafts: Vec<Draft>) -> Result<Vec<PlannedStep>, UserError> {
        let mut steps = Vec::with_capacity(drafts.len());
        let mut drafts = drafts.into_iter();
        let mut tasks = Vec::with_capacity(drafts.len().div_ceil(LOOKS));
        while drafts.len() > 0 {
            let shared = Arc::clone(self);
            let some: Vec<Draft> = drafts.by_ref().take(LOOKS).collect();
            tasks.push(tokio::spawn(async move { shared.look_at(some).await }));
        }
        for task in tasks {
            let looked_at = task.await.map_err(|error| {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "planning_panicked"
                );
                UserError::internal()
            })?;
            for step in looked_at {
                steps.push(step?);
            }
        }
        Ok(steps)
    }

    /// Looks at some steps side by side.
    async fn look_at(&self, drafts: Vec<Draft>) -> Vec<Result<PlannedStep, UserError>> {
        join_all(drafts.into_iter().map(|draft| self.step(draft))).await
    }

    async fn step(&self, draft: Draft) -> Result<PlannedStep, UserError> {
        let Draft {
            node,
            intent,
            bound,
            undo,
        } = draft;
        let (operation, own_undo) = self.operation(&intent, bound.target, bound.fields.clone())?;
        let preview = self.preview(&operation).await?;
        let undo = match (&intent.undo, undo, own_undo) {
            (UndoRule::Disabled, _, _) => Undo::None,
            (UndoRule::Intent(_), Some((intent, bound)), _) => {
                let (operation, _) = self.operation(&intent, bound.target, bound.fields)?;
                Undo::Intent {
                    preview: self.preview(&operation).await?,
                    operation: Box::new(operation),
                }
            }
            (UndoRule::Own | UndoRule::Intent(_), _, Some((summary, class))) => {
                Undo::Own { summary, class }
            }
            (UndoRule::Own | UndoRule::Intent(_), _, None) => Undo::None,
        };
        let lock = match (operation.class, bound.lock) {
            (Class::Read, _) => None,
            (_, Some(lock)) => Some(lock),
            (_, None) => Some(LockKey::new(operation.target.to_string()).map_err(|error| {
                UserError::new(
                    ErrorCode::InvalidArgument,
                    format!("the target of {} cannot be locked: {error}", intent.name),
                )
            })?),
        };
        let mut arguments: Values = bound.params;
        if arguments.is_empty() {
            arguments = bound.fields;
        } else {
            arguments.extend(bound.fields);
        }
        Ok(PlannedStep {
            operation,
            arguments,
            role: node.role,
            needs: node.needs,
            after: node.after,
            lock,
            undo,
            preview,
        })
    }

    fn operation(
        &self,
        intent: &Intent,
        target: Target,
        fields: Values,
    ) -> Result<(Operation, Option<(String, Class)>), UserError> {
        let mut operation = Operation {
            intent: intent.name.clone(),
            action: intent.action.name.clone(),
            driver: intent.action.driver.clone(),
            class: Class::Once,
            target,
            fields,
            timeout: intent.timeout,
            retry: intent.retry,
        };
        let nature = self
            .driver(&operation)?
            .nature(&operation.action, &operation.fields)
            .map_err(|error| driver_error(&intent.name, &error))?;
        operation.class = nature.class;
        Ok((operation, nature.undo))
    }

    /// What would change; a look that takes too long is a warning.
    async fn preview(&self, operation: &Operation) -> Result<Preview, UserError> {
        let driver = self.driver(operation)?;
        let look = tokio::time::timeout(self.settings.observe_within, driver.plan(operation));
        match look.await {
            Ok(Ok(preview)) => Ok(preview),
            Ok(Err(error)) => Err(driver_error(&operation.intent, &error)),
            Err(_) => Ok(Preview {
                warnings: vec![format!(
                    "{} could not be looked at in time",
                    operation.target
                )],
                ..Preview::default()
            }),
        }
    }
}

/// A driver's refusal of an operation before anything is done.
fn driver_error(intent: &IntentName, error: &DriverError) -> UserError {
    match error {
        // The seed's texts for missing fields stand alone.
        DriverError::Rejected {
            message,
            code: code @ ErrorCode::MissingField,
        } => UserError::new(*code, message.clone()),
        DriverError::Rejected { message, code } | DriverError::Transient { message, code } => {
            UserError::new(*code, format!("{intent}: {message}"))
        }
        DriverError::OutcomeUnknown { message } => {
            UserError::new(ErrorCode::DriverUnavailable, format!("{intent}: {message}"))
        }
    }
}
