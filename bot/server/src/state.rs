//! What the routes share.

use std::sync::Arc;
use std::time::Duration;

use rave_domain::Timestamp;
use rave_domain::ports::driver::Actions;
use rave_domain::time::between;
use rave_domain::{RequestId, UserError};
use rave_engine::Engine;
use rave_engine::api::RunSnapshot;
use tokio::sync::watch;

use crate::admission::Authenticator;
use crate::body::BodyLimits;
use crate::config::{RateLimitConfig, ServerConfig};
use crate::frame::Frame;
use crate::limits::Limits;
use crate::routes::chat::ChatEndpoints;

/// What the binary puts together.
pub struct Parts {
    /// The engine, started or about to be.
    pub engine: Engine,
    /// Who an API key or token belongs to.
    pub authenticator: Arc<dyn Authenticator>,
    /// What chat vendors call.
    pub chats: ChatEndpoints,
    /// What drivers offer, for `/validate`.
    pub actions: Arc<Actions>,
    /// `[server]`.
    pub config: ServerConfig,
    /// `[rate_limit]`.
    pub rate_limit: RateLimitConfig,
    /// What `/status` tells.
    pub about: About,
}

/// What `/status` tells about this installation.
#[derive(Debug, Clone)]
pub struct About {
    /// The version of the binary.
    pub version: &'static str,
    /// What makes runs durable: `embedded`.
    pub backend: &'static str,
    /// Whether schedules fire (`ENABLE_SCHEDULER`).
    pub scheduler: bool,
    /// Whether alerts go to Discord.
    pub discord_alerts: bool,
}

/// The state of all routes. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    parts: Parts,
    limits: Limits,
    started: Timestamp,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// Takes the parts over. Uptime counts from here.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            limits: Limits::new(&parts.rate_limit),
            started: parts.engine.now(),
            stopping: watch::Sender::new(false),
            parts,
        }))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.parts.engine
    }

    pub(crate) fn authenticator(&self) -> &dyn Authenticator {
        self.0.parts.authenticator.as_ref()
    }

    pub(crate) fn chats(&self) -> &ChatEndpoints {
        &self.0.parts.chats
    }

    pub(crate) fn actions(&self) -> &Actions {
        &self.0.parts.actions
    }

    pub(crate) fn config(&self) -> &ServerConfig {
        &self.0.parts.config
    }

    pub(crate) fn about(&self) -> &About {
        &self.0.parts.about
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn uptime(&self) -> Duration {
        between(self.0.started, self.engine().now())
    }

    pub(crate) fn body_limits(&self) -> BodyLimits {
        BodyLimits {
            bytes: self.config().max_body,
            time: self.request_timeout(),
        }
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.config().request_timeout.max(1))
    }

    /// What the layers around the routes need.
    pub(crate) fn frame(&self) -> Frame {
        let engine = self.engine().clone();
        Frame {
            ids: Arc::new(move || -> RequestId { engine.request_id() }),
            trusted_proxies: self.config().trusted_proxies.clone(),
            max_body: self.config().max_body,
        }
    }

    /// Waits for a run as long as a client wants to: `None` is until it has ended or waits for
    /// people. Stops waiting when the server stops; the run goes on after the next start.
    pub(crate) async fn wait(
        &self,
        snapshot: RunSnapshot,
        wait: Option<Duration>,
    ) -> Result<RunSnapshot, UserError> {
        if wait == Some(Duration::ZERO) {
            return Ok(snapshot);
        }
        let run = &snapshot.run.id;
        tokio::select! {
            ended = self.engine().wait(run, wait) => ended,
            () = self.stopped() => self.engine().wait(run, Some(Duration::ZERO)).await,
        }
    }

    /// Returns once the server stops.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.0.stopping.subscribe();
        // What it gives holds a lock and must not live on.
        drop(stopping.wait_for(|stopping| *stopping).await);
    }

    /// Lets clients that wait for runs or follow them go.
    pub(crate) fn stop_waiting(&self) {
        self.0.stopping.send_replace(true);
    }
}
