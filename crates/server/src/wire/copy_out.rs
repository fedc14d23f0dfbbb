//! `COPY … TO STDOUT`.

use arrow::datatypes::FieldRef;
use bytes::BufMut;
use database::{CopyOptions, RowStream};
use futures::StreamExt;
use pgwire::messages::copy::CopyOutResponse;
use tokio::io::AsyncWrite;

use super::connection::{Connection, Failure};
use super::result::unsupported;
use crate::copy::CopyWriter;

impl<W: AsyncWrite + Unpin> Connection<W> {
    /// Sends all rows in the options' form; gives the command tag.
    pub(super) async fn copy_out(
        &mut self,
        fields: &[FieldRef],
        mut rows: RowStream,
        options: &CopyOptions,
    ) -> Result<String, Failure> {
        self.output.message(&CopyOutResponse::new(0, fields.len() as i16, vec![0; fields.len()]));
        let mut writer = CopyWriter::new(options, &self.settings);
        if options.header {
            let mut line = bytes::BytesMut::new();
            writer.write_header(&mut line, fields);
            self.output.buffer().put_u8(b'd');
            self.output.buffer().put_u32(line.len() as u32 + 4);
            self.output.buffer().extend_from_slice(&line);
        }
        let mut row_count = 0u64;
        while let Some(batch) = rows.next().await {
            let batch = batch.inspect_err(|_| self.session.fail_transaction())?;
            let columns = CopyWriter::columns(&batch, fields).map_err(unsupported)?;
            for row in 0..batch.num_rows() {
                let out = self.output.buffer();
                let start = out.len();
                out.extend_from_slice(b"d\0\0\0\0");
                writer.write_row(out, &columns, row);
                let length = (out.len() - start - 1) as u32;
                out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
                if self.output.is_full() {
                    self.output.flush().await?;
                }
            }
            row_count += batch.num_rows() as u64;
        }
        self.output.copy_done();
        Ok(format!("COPY {row_count}"))
    }
}
