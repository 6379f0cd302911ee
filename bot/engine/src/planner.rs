//! From a request to a plan: order, bound arguments, targets, previews, undos, locks, digest.
//!
//! [`order`] is pure and linear; the rest asks drivers what would change, read-only and within a
//! bound, and turns what cannot be observed into warnings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rave_catalog::{ArgumentError, Bound, Catalog, Intent, UndoRule};
use rave_domain::ids::{Digest, IntentName, LockKey, StepId};
use rave_domain::plan::{Class, Operation, Plan, PlannedStep, Preview, StepRole, Undo};
use rave_domain::ports::driver::DriverError;
use rave_domain::request::{Order, RunRequest};
use rave_domain::value::Values;
use rave_domain::{ErrorCode, UserError};

use crate::shared::{Rules, Shared};

/// A node of the graph before anything is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    intent: IntentName,
    role: StepRole,
    needs: BTreeSet<StepId>,
    after: BTreeSet<StepId>,
}

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
    let requested: BTreeSet<&IntentName> = request.intents.iter().collect();
    let mut nodes: Vec<Node> = Vec::new();
    let mut places: BTreeMap<IntentName, StepId> = BTreeMap::new();
    let mut previous: Option<StepId> = None;
    for root in &request.intents {
        let first_new = nodes.len();
        visit(catalog, root, &requested, &mut nodes, &mut places)?;
        if let (Order::Sequential, Some(previous)) = (request.options.order, previous) {
            for node in nodes.iter_mut().skip(first_new) {
                node.after.insert(previous);
            }
        }
        previous = places.get(root).copied();
    }
    Ok(nodes)
}

/// Depth first without recursion, so that a chain of any length fits.
fn visit(
    catalog: &Catalog,
    root: &IntentName,
    requested: &BTreeSet<&IntentName>,
    nodes: &mut Vec<Node>,
    places: &mut BTreeMap<IntentName, StepId>,
) -> Result<(), UserError> {
    let mut stack: Vec<(Arc<Intent>, bool)> = vec![(find(catalog, root)?, false)];
    while let Some((intent, dependencies_done)) = stack.pop() {
        if places.contains_key(&intent.name) {
            continue;
        }
        if !dependencies_done {
            let wanted: BTreeSet<&IntentName> = intent.depends_on.iter().collect();
            stack.push((Arc::clone(&intent), true));
            for dependency in wanted.into_iter().rev() {
                if !places.contains_key(dependency) {
                    stack.push((find(catalog, dependency)?, false));
                }
            }
            continue;
        }
        let needs = intent
            .depends_on
            .iter()
            .filter_map(|name| places.get(name).copied())
            .collect();
        let id = StepId(u32::try_from(nodes.len()).unwrap_or(u32::MAX));
        places.insert(intent.name.clone(), id);
        nodes.push(Node {
            role: if requested.contains(&intent.name) {
                StepRole::Requested
            } else {
                StepRole::Dependency
            },
            intent: intent.name.clone(),
            needs,
            after: BTreeSet::new(),
        });
    }
    Ok(())
}

fn find(catalog: &Catalog, name: &IntentName) -> Result<Arc<Intent>, UserError> {
    catalog
        .get(name)
        .cloned()
        .ok_or_else(|| unknown_intent(catalog, name))
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
        let undos: BTreeSet<&IntentName> = nodes
            .iter()
            .filter_map(|node| catalog.get(&node.intent))
            .filter_map(|intent| match &intent.undo {
                UndoRule::Intent(undo) => Some(undo),
                UndoRule::Own | UndoRule::Disabled => None,
            })
            .collect();
        let names: BTreeSet<&IntentName> =
            nodes.iter().map(|node| &node.intent).chain(undos).collect();
        let hash = |param: &str, value: &str| self.sealer.keyed_hash(param, value);
        let bound = catalog
            .bind_all(names.iter().copied(), &request.arguments, &hash)
            .map_err(|errors| ArgumentError::together(&errors))?;
        let definitions: BTreeMap<IntentName, Digest> = names
            .iter()
            .filter_map(|name| catalog.get(name))
            .map(|intent| (intent.name.clone(), intent.definition))
            .collect();
        let steps = self.steps(catalog, nodes, &bound).await?;
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
        let secrets = bound
            .into_values()
            .flat_map(|bound| bound.secrets)
            .collect();
        Ok(Planned { plan, secrets })
    }

    /// Binds and previews the nodes; previews of one plan are made side by side.
    async fn steps(
        self: &Arc<Self>,
        catalog: &Catalog,
        nodes: Vec<Node>,
        bound: &BTreeMap<IntentName, Bound>,
    ) -> Result<Vec<PlannedStep>, UserError> {
        let mut tasks = Vec::with_capacity(nodes.len());
        for node in nodes {
            let shared = Arc::clone(self);
            let intent = find(catalog, &node.intent)?;
            let own = bound.get(&node.intent).cloned();
            let undo = match &intent.undo {
                UndoRule::Intent(name) => Some((find(catalog, name)?, bound.get(name).cloned())),
                UndoRule::Own | UndoRule::Disabled => None,
            };
            tasks.push(tokio::spawn(async move {
                shared.step(node, &intent, own, undo).await
            }));
        }
        let mut steps = Vec::with_capacity(tasks.len());
        for task in tasks {
            steps.push(task.await.map_err(|error| {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "planning_panicked"
                );
                UserError::internal()
            })??);
        }
        Ok(steps)
    }

    async fn step(
        &self,
        node: Node,
        intent: &Intent,
        bound: Option<Bound>,
        undo: Option<(Arc<Intent>, Option<Bound>)>,
    ) -> Result<PlannedStep, UserError> {
        let bound = bound.ok_or_else(UserError::internal)?;
        let (operation, own_undo) = self.operation(intent, &bound)?;
        let preview = self.preview(&operation).await?;
        let undo = match (&intent.undo, undo, own_undo) {
            (UndoRule::Disabled, _, _) => Undo::None,
            (UndoRule::Intent(_), Some((intent, bound)), _) => {
                let bound = bound.ok_or_else(UserError::internal)?;
                let (operation, _) = self.operation(&intent, &bound)?;
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
        arguments.extend(bound.fields);
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
        bound: &Bound,
    ) -> Result<(Operation, Option<(String, Class)>), UserError> {
        let mut operation = Operation {
            intent: intent.name.clone(),
            action: intent.action.name.clone(),
            driver: intent.action.driver.clone(),
            class: Class::Once,
            target: bound.target.clone(),
            fields: bound.fields.clone(),
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
