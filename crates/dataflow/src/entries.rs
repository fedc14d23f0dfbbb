//! The jobs of an engine: who reads what, and who has indexes in common with whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use changelog::{JobId, RelationId, StateTableId};
use crossbeam_channel::Sender;
use state::StateTables;

use crate::job::JobStatus;
use crate::runtime::worker::Command;
use crate::shared_index::{JobIndex, OperatorIndex};
use crate::{DataflowError, DataflowPlan, Job, JobMetrics, JobState};

/// All jobs, and how the workers are told of things.
#[derive(Default)]
pub(crate) struct Entries {
    pub senders: Vec<Sender<Command>>,
    pub jobs: BTreeMap<JobId, JobEntry>,
    /// Who reads a relation; only relations with readers.
    pub readers: BTreeMap<RelationId, BTreeSet<JobId>>,
}

/// A job of the engine.
pub(crate) struct JobEntry {
    pub status: Arc<JobStatus>,
    metrics: Arc<JobMetrics>,
    upstream: Vec<RelationId>,
    indexes: Vec<JobIndex>,
    /// The jobs with indexes in common, as the workers know them.
    peers: Vec<JobId>,
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.jobs.keys())
    }
}

impl Entries {
    /// Adds a job, with the indexes that it may share.
    ///
    /// # Errors
    /// If there is one of its number, or one that it reads has not caught up.
    pub fn add(&mut self, job: &Job, indexes: Vec<JobIndex>) -> Result<(), DataflowError> {
        if self.jobs.contains_key(&job.id) {
            return Err(DataflowError::JobExists { job: job.id });
        }
        for relation in &job.upstream {
            match self.jobs.get(&JobId(relation.0)).map(|entry| entry.status.state()) {
                None | Some(JobState::Running) => {}
                Some(JobState::Failed(message)) => return Err(DataflowError::JobFailed { message }),
                Some(_) => return Err(DataflowError::UpstreamNotReady { relation: *relation }),
            }
        }
        for relation in &job.upstream {
            self.readers.entry(*relation).or_default().insert(job.id);
            if let Some(entry) = self.jobs.get(&JobId(relation.0)) {
                entry.status.add_reader(&job.status);
            }
        }
        let (status, metrics, upstream) = (Arc::clone(&job.status), Arc::clone(&job.metrics), job.upstream.clone());
        let entry = JobEntry { status, metrics, upstream, indexes, peers: Vec::new() };
        self.jobs.insert(job.id, entry);
        Ok(())
    }

    /// Takes a job away.
    ///
    /// # Errors
    /// If there is none, or another one reads it.
    pub fn remove(&mut self, job: JobId) -> Result<Arc<JobStatus>, DataflowError> {
        if let Some(reader) = self.readers.get(&RelationId(job.0)).and_then(|readers| readers.first()) {
            return Err(DataflowError::JobIsRead { job, reader: *reader });
        }
        let entry = self.jobs.remove(&job).ok_or(DataflowError::NoSuchJob { job })?;
        for relation in &entry.upstream {
            if let Some(readers) = self.readers.get_mut(relation) {
                readers.remove(&job);
                if readers.is_empty() {
                    self.readers.remove(relation);
                }
            }
        }
        entry.indexes.iter().flat_map(|index| &index.slots).for_each(|slot| slot.leave());
        Ok(entry.status)
    }

    /// All jobs that read these relations, or the results of a job that does.
    pub fn touched(&self, relations: impl Iterator<Item = RelationId>) -> Vec<JobId> {
        let mut touched = BTreeSet::new();
        let mut todo: Vec<RelationId> = relations.collect();
        while let Some(relation) = todo.pop() {
            for job in self.readers.get(&relation).into_iter().flatten() {
                if touched.insert(*job) {
                    todo.push(RelationId(job.0));
                }
            }
        }
        touched.into_iter().collect()
    }

    /// Lets a job that was restored use the indexes of its tables that are open already.
    pub fn use_open_indexes(&mut self, job: &Job, tables: &StateTables) {
        let is_open = |index: &JobIndex, other: &JobIndex| index.id() == other.id();
        self.use_indexes(job.id, tables, &is_open);
    }

    /// Lets a running job use indexes of running jobs that are equal to its own ones. Gives the tables that it uses in the
    /// place of its own.
    pub fn share_indexes(&mut self, job: JobId, tables: &StateTables) -> BTreeMap<StateTableId, StateTableId> {
        match self.jobs.get(&job).map(|entry| entry.status.state()) {
            Some(JobState::Running) => self.use_indexes(job, tables, &JobIndex::is_equal),
            _ => BTreeMap::new(),
        }
    }

    fn use_indexes(
        &mut self,
        job: JobId,
        tables: &StateTables,
        fits: &dyn Fn(&JobIndex, &JobIndex) -> bool,
    ) -> BTreeMap<StateTableId, StateTableId> {
        let mut moved = BTreeMap::new();
        let Some(entry) = self.jobs.get(&job) else { return moved };
        // A join whose both sides were shared would have to take apart what both changed in one epoch.
        let beside = |entry: &JobEntry, index: &JobIndex| {
            entry
                .indexes
                .iter()
                .any(|other| other.node == index.node && other.input != index.input && other.is_shared())
        };
        for index in &entry.indexes {
            if beside(entry, index) {
                continue;
            }
            let others = self.jobs.iter().filter(|(id, o)| **id != job && o.status.state() == JobState::Running);
            // Operators of one job are not held together by epochs, so that each has an index of its own.
            let is_used = |other: &JobIndex| entry.indexes.iter().any(|own| own.uses_same(other));
            let mut others = others
                .flat_map(|(_, other)| other.indexes.iter().filter(|index| !beside(other, index) && !is_used(index)));
            let Some(other) = others.find(|other| fits(index, other)) else { continue };
            let (Some(before), Some(after)) = (index.id(), other.id()) else { continue };
            let replaced = index.use_that_of(other);
            entry.status.replace_tables(tables, &replaced);
            for (_, table) in &replaced {
                entry.metrics.operators[index.node].watch(Arc::downgrade(table));
            }
            moved.insert(before, after);
        }
        moved
    }

    /// For each index of a job that others use, too: the operator's place in the plan, its input, and these jobs.
    pub fn shared_indexes(&self, job: JobId) -> Vec<(usize, usize, Vec<JobId>)> {
        let Some(entry) = self.jobs.get(&job) else { return Vec::new() };
        let users = |index: &JobIndex| {
            let others = self.jobs.iter().filter(|(id, _)| **id != job);
            others.filter(|(_, other)| other.indexes.iter().any(|o| o.uses_same(index))).map(|(id, _)| *id).collect()
        };
        let all = entry.indexes.iter().map(|index| (index.node, index.input, users(index)));
        all.filter(|(_, _, users): &(usize, usize, Vec<JobId>)| !users.is_empty()).collect()
    }

    /// Tells the workers which jobs have indexes in common, where that has changed.
    pub fn tell_peers(&mut self) {
        let all: Vec<(JobId, Vec<JobId>)> = self
            .jobs
            .keys()
            .map(|job| {
                let peers: BTreeSet<JobId> =
                    self.shared_indexes(*job).into_iter().flat_map(|(_, _, jobs)| jobs).collect();
                (*job, peers.into_iter().collect())
            })
            .collect();
        for (job, peers) in all {
            let Some(entry) = self.jobs.get_mut(&job).filter(|entry| entry.peers != peers) else { continue };
            entry.peers.clone_from(&peers);
            for sender in &self.senders {
                // A worker that has stopped was reported when it did.
                let _ = sender.send(Command::Peers(job, peers.clone()));
            }
        }
    }
}

/// A job's indexes, out of those of its operators on each worker.
pub(crate) fn job_indexes(plan: &Arc<DataflowPlan>, parts: Vec<(usize, OperatorIndex)>) -> Vec<JobIndex> {
    let mut indexes: Vec<JobIndex> = Vec::new();
    for (node, OperatorIndex { input, order, keys, strict, slot }) in parts {
        match indexes.iter_mut().find(|index| (index.node, index.input) == (node, input)) {
            Some(index) => index.slots.push(slot),
            None => {
                let plan = Arc::clone(plan);
                indexes.push(JobIndex { plan, node, input, order, keys, strict, slots: vec![slot] });
            }
        }
    }
    indexes
}
