//! Serving on a listener until told to stop.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::limits;
use crate::router::router;
use crate::state::Server;

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// Every answer under way was given.
    Whole,
    /// Some clients were left without an answer when the time was up.
    CutOff,
}

/// Serves until `shutdown`, which says by when to be done. Then no connection is taken any more,
/// clients that wait for runs are told where they are, and answers under way may finish until then.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    server: Server,
    shutdown: impl Future<Output = Instant> + Send,
) -> io::Result<Served> {
    let (stop, stopped) = oneshot::channel::<()>();
    let service = router(server.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        // A sender that is gone means the same.
        let _ = stopped.await;
    });
    let mut serving = std::pin::pin!(serving.into_future());
    let deadline = tokio::select! {
        ended = &mut serving => return ended.map(|()| Served::Whole),
        never = sweep(&server) => match never {},
        deadline = shutdown => deadline,
    };
    server.stop_waiting();
    let _ = stop.send(());
    match tokio::time::timeout_at(deadline, serving).await {
        Ok(ended) => ended.map(|()| Served::Whole),
        Err(_) => {
            tracing::warn!("answers_cut_off");
            Ok(Served::CutOff)
        }
    }
}

/// Housekeeping, for ever.
async fn sweep(server: &Server) -> Infallible {
    loop {
        tokio::time::sleep(limits::SWEEP).await;
        server.limits().sweep();
    }
}
