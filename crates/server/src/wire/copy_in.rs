//! `COPY … FROM STDIN`: between the server's invitation and the client's `CopyDone`, messages carry rows.

use arrow::array::RecordBatch;
use database::{CopyIn, Session};
use pgwire::messages::copy::CopyInResponse;
use tokio::io::AsyncWrite;

use super::connection::{Connection, Failure, Next};
use super::frontend::{decode_empty, decode_text};
use super::input::Frame;
use super::output::Report;
use super::simple::PendingStatements;
use crate::copy::{CopyError, CopyReader};

/// A COPY that takes rows.
pub(super) struct RunningCopy {
    pub copy: CopyIn,
    pub reader: CopyReader,
    pub after: AfterCopy,
}

/// What comes after a COPY.
#[derive(Debug)]
pub(super) enum AfterCopy {
    /// The rest of the query text it was part of.
    Statements(PendingStatements),
    /// It was executed by the extended protocol: the client's `Sync`.
    Sync,
}

impl RunningCopy {
    pub fn abort(self, session: &mut Session) {
        self.copy.abort(session);
    }
}

impl<W: AsyncWrite + Unpin> Connection<W> {
    /// Invites the client to send rows.
    pub(super) fn begin_copy_in(&mut self, copy: CopyIn, after: AfterCopy) -> RunningCopy {
        let column_count = copy.fields().len();
        self.output.message(&CopyInResponse::new(0, column_count as i16, vec![0; column_count]));
        let reader = CopyReader::new(copy.options(), copy.fields(), self.settings);
        RunningCopy { copy, reader, after }
    }

    /// Handles a message while a COPY takes rows.
    pub(super) async fn take_during_copy(&mut self, frame: Frame<'_>) -> Result<Next, Failure> {
        let Some(mut running) = self.copy.take() else { return Ok(Next::Continue) };
        let result = match frame.kind {
            b'd' => match running.push(frame.body) {
                Ok(()) => {
                    self.copy = Some(running);
                    return Ok(Next::Continue);
                }
                Err(report) => {
                    running.copy.abort(&mut self.session);
                    Err((report, running.after))
                }
            },
            b'c' => {
                decode_empty(frame.body)?;
                self.finish_copy(running).await
            }
            b'f' => {
                let report = Report::new("57014", format!("COPY from stdin failed: {}", decode_text(frame.body)?));
                running.copy.abort(&mut self.session);
                Err((report, running.after))
            }
            // Clients may send these ahead; they mean nothing here.
            b'H' | b'S' => {
                self.copy = Some(running);
                return Ok(Next::Continue);
            }
            kind => {
                running.copy.abort(&mut self.session);
                if kind == b'X' {
                    return Ok(Next::Close);
                }
                let message = format!("unexpected message type 0x{kind:02X} during COPY from stdin");
                return Err(Failure::Fatal(Box::new(Report::protocol_violation(message))));
            }
        };
        self.after_copy(result).await?;
        Ok(Next::Continue)
    }

    /// A cancel request came while the COPY waited for data.
    pub(super) async fn cancel_copy(&mut self) -> Result<(), Failure> {
        let Some(running) = self.copy.take() else { return Ok(()) };
        running.copy.abort(&mut self.session);
        let report = Report::new("57014", "canceling statement due to user request");
        self.after_copy(Err((report, running.after))).await
    }

    async fn finish_copy(&mut self, running: RunningCopy) -> Result<(String, AfterCopy), (Report, AfterCopy)> {
        let RunningCopy { mut copy, mut reader, after } = running;
        let finished = reader.finish(&mut |batch| push_batch(&mut copy, batch));
        if let Err(report) = finished {
            copy.abort(&mut self.session);
            return Err((report, after));
        }
        match copy.finish(&mut self.session).await {
            Ok(tag) => Ok((tag, after)),
            Err(error) => Err((error.into(), after)),
        }
    }

    async fn after_copy(&mut self, result: Result<(String, AfterCopy), (Report, AfterCopy)>) -> Result<(), Failure> {
        match result {
            Ok((tag, after)) => {
                self.complete(&tag);
                match after {
                    AfterCopy::Statements(pending) => self.run_pending(pending).await,
                    AfterCopy::Sync => Ok(()),
                }
            }
            Err((report, after)) => {
                self.fail(&report);
                match after {
                    AfterCopy::Statements(pending) => self.end_query(pending.is_implicit()).await,
                    AfterCopy::Sync => {
                        self.skipping = true;
                        Ok(())
                    }
                }
            }
        }
    }
}

impl RunningCopy {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Report> {
        let copy = &mut self.copy;
        self.reader.push(bytes, &mut |batch| push_batch(copy, batch))
    }
}

fn push_batch(copy: &mut CopyIn, batch: RecordBatch) -> Result<(), Report> {
    copy.push(batch).map_err(Report::from)
}

impl From<CopyError> for Report {
    fn from(error: CopyError) -> Self {
        let context = error.context("");
        Self { hint: error.hint, ..Self::new(&error.sqlstate, error.message).with_context(context) }
    }
}
