//! The simple query protocol: one message with any number of statements, which are one transaction.

use std::collections::VecDeque;

use database::{Outcome, Parsed};
use tokio::io::AsyncWrite;

use super::connection::{Connection, Failure};
use super::copy_in::{AfterCopy, RunningCopy};
use super::frontend::{ValueFormat, decode_text};
use super::output::Report;
use super::result::{ResultColumns, RunningRows};

/// Statements of a query text that are still to be run.
#[derive(Debug, Default)]
pub(super) struct PendingStatements {
    statements: VecDeque<Parsed>,
    /// Whether they began an implicit transaction.
    is_implicit: bool,
}

/// Whether the message has been answered to its end.
enum Progress {
    Finished,
    /// A COPY waits for data; the rest comes after it.
    Copying,
}

impl<W: AsyncWrite + Unpin> Connection<W> {
    /// `Query`: runs the statements of a text and says that the next may come.
    pub(super) async fn query(&mut self, body: &[u8]) -> Result<(), Failure> {
        self.end_extended().await?;
        let text = match decode_text(body).map_err(Failure::from) {
            Ok(text) => text,
            Err(Failure::Statement(report)) => {
                self.fail(&report);
                self.ready();
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        // An unnamed statement or portal does not outlive a simple query.
        self.statements.remove("");
        self.portals.remove("");
        if let Some(inserted) = self.session.insert_literals(text).await {
            match inserted {
                Ok(tag) => self.complete(&tag),
                Err(error) => self.fail(&error.into()),
            }
            return self.end_query(false).await;
        }
        let parsed = match self.session.parse(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.fail(&error.into());
                self.ready();
                return Ok(());
            }
        };
        if parsed.is_empty() {
            self.output.empty_query();
            self.ready();
            return Ok(());
        }
        let is_implicit = parsed.len() > 1;
        if is_implicit {
            self.session.begin_implicit();
        }
        let pending = PendingStatements { statements: parsed.into(), is_implicit };
        self.run_pending(pending).await
    }

    /// Runs what is left of a query text; returns early when a COPY needs the client's data.
    pub(super) async fn run_pending(&mut self, mut pending: PendingStatements) -> Result<(), Failure> {
        while let Some(parsed) = pending.statements.pop_front() {
            match self.run_simple(&parsed).await {
                Ok((Progress::Finished, _)) => {}
                Ok((Progress::Copying, copy)) => {
                    self.copy = copy.map(|copy| RunningCopy { after: AfterCopy::Statements(pending), ..copy });
                    return Ok(());
                }
                Err(Failure::Statement(mut report)) => {
                    report.position = report.position.map(|position| position + parsed.offset());
                    self.fail(&report);
                    return self.end_query(pending.is_implicit).await;
                }
                Err(failure) => return Err(failure),
            }
        }
        self.end_query(pending.is_implicit).await
    }

    /// Ends the answer to a query text, after an error too.
    pub(super) async fn end_query(&mut self, is_implicit: bool) -> Result<(), Failure> {
        if is_implicit && let Err(error) = self.session.end_implicit().await {
            self.fail(&error.into());
        }
        self.send_settings();
        self.ready();
        Ok(())
    }

    async fn run_simple(&mut self, parsed: &Parsed) -> Result<(Progress, Option<RunningCopy>), Failure> {
        if let Some(inserted) = self.session.insert_literals(parsed.text()).await {
            self.complete(&inserted?);
            return Ok((Progress::Finished, None));
        }
        let prepared = self.session.prepare(parsed, &[])?;
        let outcome = match prepared.parameters().is_empty() {
            true => self.session.execute(&prepared, &[]).await?,
            false => return Err(Report::new("42P02", "there is no parameter $1").into()),
        };
        let tag = match outcome {
            Outcome::Empty => {
                self.output.empty_query();
                return Ok((Progress::Finished, None));
            }
            Outcome::Done { tag } => tag,
            Outcome::Rows { fields, rows, tag, counts_rows } => {
                let columns = ResultColumns::new(&fields);
                columns.describe(self.output.buffer(), |_| ValueFormat::Text);
                let mut running = RunningRows::new(rows, columns.wire_columns(|_| ValueFormat::Text), tag, counts_rows);
                self.send_rows(&mut running, None).await?;
                running.command_tag()
            }
            Outcome::CopyOut { fields, rows, options } => self.copy_out(&fields, rows, &options).await?,
            Outcome::CopyIn(copy) => {
                let copy = self.begin_copy_in(copy, AfterCopy::Sync);
                return Ok((Progress::Copying, Some(copy)));
            }
        };
        self.complete(&tag);
        Ok((Progress::Finished, None))
    }

    /// The end of a statement that succeeded.
    pub(super) fn complete(&mut self, tag: &str) {
        self.send_notices();
        self.output.command_complete(tag);
        self.send_settings();
    }
}

impl PendingStatements {
    pub fn is_implicit(&self) -> bool {
        self.is_implicit
    }
}
