//! The server from outside: real drivers, and raw sockets for what no driver sends.

#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

mod checks;
mod commands;
mod copying;
mod lookups;
mod malformed;
mod positions;
mod raw;
mod sessions;
mod sources;
mod values;

use std::net::SocketAddr;
use std::sync::Arc;

use database::{Instance, InstanceOptions};
use server::listener::Listener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

/// A server in this process, on a port of its own, with everything in memory.
pub struct TestServer {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    instance: Arc<Instance>,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    pub async fn start_with(password: Option<&str>) -> Self {
        let options = InstanceOptions { worker_count: 1, ..InstanceOptions::default() };
        // Opening and closing wait for threads of the instance.
        let opening = tokio::task::spawn_blocking(|| Instance::open(options));
        let instance = opening.await.expect("no panic").expect("an instance in memory");
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(&[any_port], instance.clone(), password).expect("a free port");
        let address = listener.addresses().expect("addresses")[0];
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(listener.run(async move {
            let _ = stopped.await;
        }));
        Self { address, stop: Some(stop), task, instance }
    }

    /// A client of the driver that Rust programs use.
    pub async fn connect(&self) -> Client {
        let config = self.config();
        let (client, connection) = config.connect(NoTls).await.expect("a connection");
        tokio::spawn(connection);
        client
    }

    pub fn config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.address.port()).user("keyfold").dbname("keyfold");
        config
    }

    /// Stops the server and waits until it has said goodbye to everybody.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.task.await.expect("the server ends without a panic");
        let closing = tokio::task::spawn_blocking(move || self.instance.shut_down());
        closing.await.expect("no panic").expect("a clean end");
    }
}

/// The SQLSTATE of a failed request.
pub fn sqlstate<T: std::fmt::Debug>(result: Result<T, tokio_postgres::Error>) -> String {
    let error = result.expect_err("it should fail");
    error.code().unwrap_or_else(|| panic!("an error of the server, not {error:?}")).code().to_owned()
}
