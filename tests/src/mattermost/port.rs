//! One port for HTTP and for connections that are kept.

use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::FakeMattermost;

/// How a connection that is kept begins.
const KEPT: &[u8] = b"GET /api/v4/websocket";

/// Gives HTTP what is HTTP.
pub(super) struct Port {
    address: SocketAddr,
    http: mpsc::Receiver<(TcpStream, SocketAddr)>,
}

impl Port {
    pub(super) fn new(listener: TcpListener, fake: FakeMattermost) -> Self {
        let address = listener.local_addr().unwrap();
        let (sender, http) = mpsc::channel(64);
        tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let (sender, fake) = (sender.clone(), fake.clone());
                tokio::spawn(async move {
                    if is_kept(&stream).await {
                        fake.keep(stream).await;
                    } else {
                        // The server has gone with its test.
                        let _ = sender.send((stream, peer)).await;
                    }
                });
            }
        });
        Self { address, http }
    }
}

/// Looks at the first bytes and leaves them there.
async fn is_kept(stream: &TcpStream) -> bool {
    let mut start = [0; KEPT.len()];
    loop {
        let Ok(length @ 1..) = stream.peek(&mut start).await else {
            return false;
        };
        if start[..length] != KEPT[..length] {
            return false;
        }
        if length == KEPT.len() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Listener for Port {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match self.http.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}
