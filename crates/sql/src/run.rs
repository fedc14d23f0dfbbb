//! What runs of queries share and what stops them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;

use crate::SqlError;

/// Queries' threads for each processor: more than one, so that some long computations do not keep all threads from the
/// short ones; the system shares the processors out.
const THREADS_PER_PROCESSOR: usize = 8;

/// Stops a running query, from any thread.
#[derive(Debug, Default)]
pub struct Cancel {
    requested: AtomicBool,
    notify: Notify,
}

impl Cancel {
    /// Not cancelled.
    #[must_use]
    pub fn new() -> Arc<Cancel> {
        Arc::new(Cancel::default())
    }

    /// Stops whatever runs with it; it stays cancelled.
    pub fn cancel(&self) {
        self.requested.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Whether it has been cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Waits until it is cancelled.
    pub async fn cancelled(&self) {
        loop {
            let notified = self.notify.notified();
            if self.is_cancelled() {
                return;
            }
            notified.await;
        }
    }
}

/// Memory, scratch space and threads that queries take from.
pub struct QueryMemory {
    runtime: Arc<RuntimeEnv>,
    /// Queries compute here: a long piece of work must not keep a connection's thread from others' messages.
    threads: Option<Runtime>,
}

impl fmt::Debug for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueryMemory")
    }
}

impl QueryMemory {
    /// Up to `bytes` for all queries together; what does not fit is sorted and aggregated on disk.
    ///
    /// # Errors
    /// If there is no place for scratch files.
    pub fn new(bytes: usize) -> Result<Arc<QueryMemory>, SqlError> {
        let builder = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(GreedyMemoryPool::new(bytes)));
        let runtime = builder.build_arc().map_err(|e| SqlError::internal(format!("query memory: {e}")))?;
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = Builder::new_multi_thread()
            .thread_name("queries")
            .worker_threads(processors * THREADS_PER_PROCESSOR)
            .thread_stack_size(dataflow::STACK_BYTES)
            .enable_all()
            .build();
        let threads = threads.map_err(|e| SqlError::internal(format!("threads of queries: {e}")))?;
        Ok(Arc::new(QueryMemory { runtime, threads: Some(threads) }))
    }

    /// The threads that compute queries.
    pub(crate) fn threads(&self) -> &Handle {
        // Taken away by `drop` only.
        self.threads.as_ref().map_or_else(|| unreachable!("dropped"), Runtime::handle)
    }

    pub(crate) fn runtime(&self) -> Arc<RuntimeEnv> {
        Arc::clone(&self.runtime)
    }
}

impl Drop for QueryMemory {
    fn drop(&mut self) {
        // The last owner may be a task, which must not wait.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}
