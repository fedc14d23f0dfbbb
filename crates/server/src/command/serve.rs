//! `keyfold serve`.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use database::{Instance, InstanceOptions, STACK_BYTES};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::ServeArguments;
use crate::config::{LogFormat, ServeOptions};
use crate::listener::Listener;

/// Runs a server until it is told to stop, then takes a final checkpoint.
pub fn main(arguments: &ServeArguments) -> anyhow::Result<()> {
    let options = ServeOptions::load(&arguments.settings, arguments.config.as_deref())?;
    begin_log(options.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("connections")
        .thread_stack_size(STACK_BYTES)
        .build()
        .context("no threads for connections")?;
    // Opening waits for recovery, so it is not done as a task.
    let context = runtime.enter();
    let instance = open(&options)?;
    drop(context);
    let served = runtime.block_on(serve(&options, instance.clone()));
    tracing::info!("taking a final checkpoint");
    let stopped = instance.shut_down().context("the final checkpoint failed");
    runtime.shutdown_background();
    served.and(stopped)
}

fn begin_log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("KEYFOLD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A reader of the log that goes away must not make whoever logs panic.
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

fn open(options: &ServeOptions) -> anyhow::Result<Arc<Instance>> {
    let instance = Instance::open(InstanceOptions {
        data_directory: options.data_dir.clone(),
        worker_count: options.worker_count,
        memory_limit_bytes: options.memory_limit_bytes.map(|bytes| bytes as u64),
        checkpoint_interval: options.checkpoint_interval,
        ..InstanceOptions::default()
    })?;
    Ok(instance)
}

async fn serve(options: &ServeOptions, instance: Arc<Instance>) -> anyhow::Result<()> {
    // Signals that come from here on stop the server, also while the first statements run.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
    };
    tokio::pin!(stop);
    let listener = Listener::bind(&options.listen, instance.clone(), options.password.as_deref())
        .with_context(|| format!("cannot listen on {:?}", options.listen))?;
    if let Some(path) = &options.init {
        tokio::select! {
            done = run_init(&instance, path) => done?,
            () = &mut stop => return Ok(()),
        }
    }
    for address in listener.addresses()? {
        tracing::info!("ready: psql -h {} -p {} -d keyfold", address.ip(), address.port());
    }
    listener.run(stop).await;
    Ok(())
}

async fn run_init(instance: &Arc<Instance>, path: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut session = super::run::connect(instance)?;
    super::run::run_text(&mut session, &text, &mut super::run::Silent)
        .await
        .with_context(|| format!("{} failed", path.display()))
}
