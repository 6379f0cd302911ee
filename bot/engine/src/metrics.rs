//! Metrics, in a registry that is a value. Labels are bounded: intents come from the catalog,
//! everything else from fixed words.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use rave_catalog::Intent;
use rave_domain::IntentName;
use rave_domain::plan::Operation;
use rave_domain::value::Value;

/// The longest `stack` label; anything longer would be an intent file gone wrong.
const LABEL_BYTES: usize = 64;

/// Everything that is counted.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    /// The `stack` label of each intent: what its file says, and nothing where callers choose.
    stacks: Arc<RwLock<HashMap<String, String>>>,
    intent_requests: IntCounterVec,
    intent_failures: IntCounterVec,
    intent_duration: HistogramVec,
    auth_failures: IntCounterVec,
    runs: IntCounterVec,
    open_runs: IntGauge,
    steps: IntCounterVec,
    duplicates: IntCounterVec,
    deliveries: IntCounterVec,
    outbox_waiting: IntGauge,
    driver_open: IntGaugeVec,
}

/// Reasons of `chatops_intent_failures_total`, the seed's first.
const FAILURE_REASONS: [&str; 5] = [
    "label_mismatch",
    "command_failed",
    "policy_denied",
    "unknown",
    "cancelled",
];

/// Reasons of `chatops_auth_failures_total`.
const AUTH_REASONS: [&str; 4] = [
    "invalid_key",
    "ip_blocked",
    "bad_signature",
    "unknown_account",
];

impl Metrics {
    /// Registers everything at zero.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let intent_duration = HistogramVec::new(
            HistogramOpts::new(
                "chatops_intent_duration_seconds",
                "How long an intent's step took, from its claim to its end",
            )
            .buckets(vec![0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0]),
            &["intent_name", "action"],
        )?;
        registry.register(Box::new(intent_duration.clone()))?;
        let driver_open = IntGaugeVec::new(
            Opts::new(
                "rave_driver_open",
                "1 while a driver is opened after repeated failure",
            ),
            &["driver"],
        )?;
        registry.register(Box::new(driver_open.clone()))?;
        let metrics = Self {
            intent_requests: counter(
                "chatops_intent_requests_total",
                "Intents asked for",
                &["intent_name", "action", "stack", "dry_run"],
            )?,
            intent_failures: counter(
                "chatops_intent_failures_total",
                "Intents that were refused or failed",
                &["intent_name", "action", "stack", "reason"],
            )?,
            auth_failures: counter(
                "chatops_auth_failures_total",
                "Requests that were not authentic or not allowed to be here",
                &["reason"],
            )?,
            runs: counter("rave_runs_total", "Runs that ended", &["state"])?,
            steps: counter("rave_steps_total", "Step attempts that ended", &["state"])?,
            duplicates: counter(
                "rave_duplicate_requests_total",
                "Requests that had been here before",
                &["surface"],
            )?,
            deliveries: counter(
                "rave_deliveries_total",
                "Outbox rows that left the outbox, and failed tries",
                &["courier", "result"],
            )?,
            open_runs: gauge("rave_open_runs", "Runs that have not ended")?,
            outbox_waiting: gauge("rave_outbox_waiting", "Outbox rows still to be delivered")?,
            intent_duration,
            driver_open,
            registry: registry.clone(),
            stacks: Arc::default(),
        };
        for reason in AUTH_REASONS {
            metrics.auth_failures.with_label_values(&[reason]);
        }
        for state in ["succeeded", "failed", "cancelled"] {
            metrics.runs.with_label_values(&[state]);
        }
        for state in ["succeeded", "failed", "cancelled", "unknown"] {
            metrics.steps.with_label_values(&[state]);
        }
        Ok(metrics)
    }

    /// Registers the catalog's intents at zero, so that a rate exists before the first request.
    pub(crate) fn register_intents<'a>(
        &self,
        intents: impl IntoIterator<Item = (&'a str, &'a str, String)>,
    ) {
        let mut stacks = self.stacks.write().unwrap_or_else(PoisonError::into_inner);
        for (intent, action, stack) in intents {
            let stack = label(&stack);
            stacks.insert(intent.to_owned(), stack.to_owned());
            for dry_run in ["true", "false"] {
                self.intent_requests
                    .with_label_values(&[intent, action, stack, dry_run]);
            }
            for reason in FAILURE_REASONS {
                self.intent_failures
                    .with_label_values(&[intent, action, stack, reason]);
            }
            self.intent_duration.with_label_values(&[intent, action]);
        }
    }

    pub(crate) fn register_couriers(&self, couriers: &BTreeSet<&'static str>) {
        for courier in couriers {
            for result in ["delivered", "later", "undeliverable"] {
                self.deliveries.with_label_values(&[courier, result]);
            }
        }
    }

    fn stack(&self, intent: &IntentName) -> String {
        let stacks = self.stacks.read().unwrap_or_else(PoisonError::into_inner);
        stacks.get(intent.as_str()).cloned().unwrap_or_default()
    }

    pub(crate) fn requested<'a>(
        &self,
        operations: impl IntoIterator<Item = &'a Operation>,
        dry_run: DryRunLabel,
    ) {
        let dry_run = match dry_run {
            DryRunLabel::DryRun => "true",
            DryRunLabel::Real => "false",
        };
        let stacks = self.stacks.read().unwrap_or_else(PoisonError::into_inner);
        for operation in operations {
            let intent = operation.intent.as_str();
            let stack = stacks.get(intent).map_or("", String::as_str);
            self.intent_requests
                .with_label_values(&[intent, operation.action.as_str(), stack, dry_run])
                .inc();
        }
    }

    pub(crate) fn intent_failed(&self, operation: &Operation, reason: &'static str) {
        self.intent_failures
            .with_label_values(&[
                operation.intent.as_str(),
                operation.action.as_str(),
                &self.stack(&operation.intent),
                reason,
            ])
            .inc();
    }

    /// Counts an intent that was refused before it had a plan.
    pub(crate) fn refused(&self, intent: &Intent, reason: &'static str) {
        let stack = intent
            .literal(&intent.action.target_field)
            .and_then(Value::plain)
            .unwrap_or_default();
        self.intent_failures
            .with_label_values(&[
                intent.name.as_str(),
                intent.action.name.as_str(),
                label(&stack),
                reason,
            ])
            .inc();
    }

    pub(crate) fn step_ended(&self, operation: &Operation, state: &str, took: Duration) {
        self.steps.with_label_values(&[state]).inc();
        self.intent_duration
            .with_label_values(&[operation.intent.as_str(), operation.action.as_str()])
            .observe(took.as_secs_f64());
    }

    pub(crate) fn run_ended(&self, state: &str) {
        self.runs.with_label_values(&[state]).inc();
    }

    pub(crate) fn auth_failed(&self, reason: &'static str) {
        self.auth_failures.with_label_values(&[reason]).inc();
    }

    pub(crate) fn duplicate(&self, surface: &str) {
        self.duplicates.with_label_values(&[surface]).inc();
    }

    pub(crate) fn delivery(&self, courier: &str, result: &'static str) {
        self.deliveries.with_label_values(&[courier, result]).inc();
    }

    pub(crate) fn driver_open(&self, driver: &str, open: i64) {
        self.driver_open.with_label_values(&[driver]).set(open);
    }

    /// The text form 0.0.4.
    pub(crate) fn text(&self, open_runs: usize, outbox_waiting: u64) -> String {
        self.open_runs
            .set(i64::try_from(open_runs).unwrap_or(i64::MAX));
        self.outbox_waiting
            .set(i64::try_from(outbox_waiting).unwrap_or(i64::MAX));
        let mut buffer = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut buffer) {
            tracing::error!(error = &error as &dyn std::error::Error, "metrics_failed");
        }
        String::from_utf8_lossy(&buffer).into_owned()
    }
}

/// The `dry_run` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DryRunLabel {
    DryRun,
    Real,
}

fn label(text: &str) -> &str {
    let mut end = text.len().min(LABEL_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
