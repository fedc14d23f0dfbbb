//! Accepts connections and keeps count of them until the server stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use database::Instance;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::wire::Password;
use crate::wire::connection::{self, Shared};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// No more clients than this at once.
const CONNECTION_COUNT_MAX: usize = 10_000;
/// Running statements have this long to notice that they are cancelled when the server stops.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);
/// Pause after an error of `accept`, which mostly means that file descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listening server.
pub struct Listener {
    sockets: Vec<TcpListener>,
    instance: Arc<Instance>,
    password: Option<Password>,
}

impl Listener {
    /// Takes the addresses; clients wait until `run`.
    pub fn bind(addresses: &[SocketAddr], instance: Arc<Instance>, password: Option<&str>) -> io::Result<Self> {
        // A name may stand for an address that this machine does not have; one that works is enough.
        let mut sockets = Vec::new();
        let mut failure = io::Error::from(io::ErrorKind::InvalidInput);
        for address in addresses {
            match listen(*address) {
                Ok(socket) => sockets.push(socket),
                Err(error) => failure = error,
            }
        }
        match sockets.is_empty() {
            true => Err(failure),
            false => Ok(Self { sockets, instance, password: password.map(Password::new) }),
        }
    }

    /// The addresses it listens on; useful when the port was 0.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(TcpListener::local_addr).collect()
    }

    /// Serves clients until `stop` is ready; then says goodbye to all of them.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (stopping, stopping_seen) = watch::channel(false);
        let shared = Arc::new(Shared::new(self.instance, self.password, stopping_seen));
        let mut acceptors = JoinSet::new();
        for socket in self.sockets {
            acceptors.spawn(accept(socket, shared.clone()));
        }
        stop.await;
        let _ = stopping.send(true);
        shared.cancel_all();
        while acceptors.join_next().await.is_some() {}
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it: a client whose machine is gone is noticed at last.
    socket.set_keepalive(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts on one socket until the server stops; returns when all its connections have ended.
async fn accept(socket: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut stopping = shared.stopping.clone();
    let stopped = stopping.wait_for(|stopping| *stopping);
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!(%error, "a connection failed");
                }
                continue;
            }
            _ = &mut stopped => break,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < CONNECTION_COUNT_MAX => {
                connections.spawn(serve(stream, shared.clone()));
            }
            Ok((stream, address)) => {
                tracing::warn!(%address, "too many connections");
                drop(stream);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(socket);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIME_MAX, all_ended).await.is_err() {
        tracing::warn!(count = connections.len(), "connections were cut off");
        connections.abort_all();
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Answers are sent whole; waiting for more to send would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let (reader, writer) = stream.into_split();
    connection::serve(reader, writer, &shared).await;
}
