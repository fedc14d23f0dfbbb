//! Records cut into fields, before the fields become values: where each field's text lies.

/// The fields of a number of records, row by row. Texts lie in the block of bytes that was read,
/// or, where they had to be unescaped, in `unescaped`.
#[derive(Debug, Default)]
pub struct Fields {
    column_count: usize,
    spans: Vec<Span>,
    /// Texts that do not stand in the block as such.
    pub unescaped: Vec<u8>,
}

/// Where a field's text lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

/// Set in `start` when the text lies in `unescaped`. Blocks are smaller than 2 GiB.
const UNESCAPED: u32 = 1 << 31;

impl Span {
    /// SQL's NULL.
    pub const NULL: Self = Self { start: u32::MAX, end: u32::MAX };

    /// A text in the block.
    pub fn in_block(start: usize, end: usize) -> Self {
        debug_assert!(end < UNESCAPED as usize);
        Self { start: start as u32, end: end as u32 }
    }

    /// A text in `Fields::unescaped`.
    pub fn in_unescaped(start: usize, end: usize) -> Self {
        debug_assert!(end < UNESCAPED as usize);
        Self { start: start as u32 | UNESCAPED, end: end as u32 }
    }
}

impl Fields {
    /// No records yet.
    pub fn new(column_count: usize) -> Self {
        Self { column_count, ..Self::default() }
    }

    /// No records yet, with room for so many.
    pub fn with_capacity(column_count: usize, rows: usize) -> Self {
        Self { column_count, spans: Vec::with_capacity(column_count * rows), unescaped: Vec::new() }
    }

    /// One column with the given texts.
    pub fn of_texts(texts: impl IntoIterator<Item = Option<Vec<u8>>>) -> Self {
        let mut fields = Self::new(1);
        for text in texts {
            let span = match text {
                None => Span::NULL,
                Some(text) => fields.unescape(&text),
            };
            fields.push(span);
        }
        fields
    }

    /// Appends the next field of the record that is being read.
    #[inline]
    pub fn push(&mut self, span: Span) {
        self.spans.push(span);
    }

    /// Keeps a text and says where.
    pub fn unescape(&mut self, text: &[u8]) -> Span {
        let start = self.unescaped.len();
        self.unescaped.extend_from_slice(text);
        Span::in_unescaped(start, self.unescaped.len())
    }

    /// Begins a record whose fields are set in any order; they are NULL until then.
    pub fn begin_record(&mut self) {
        self.spans.resize(self.spans.len() + self.column_count, Span::NULL);
    }

    /// Sets a field of the record begun last.
    pub fn set(&mut self, column: usize, span: Span) {
        let first = self.spans.len() - self.column_count;
        self.spans[first + column] = span;
    }

    /// How many fields there are in all records.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Forgets all fields but the first `len`: a record turned out to be bad.
    pub fn truncate(&mut self, len: usize) {
        self.spans.truncate(len);
    }

    /// How many whole records there are.
    pub fn row_count(&self) -> usize {
        self.spans.len().checked_div(self.column_count).unwrap_or(0)
    }

    /// The texts of a column, None for NULL.
    pub fn column<'a>(&'a self, column: usize, block: &'a [u8]) -> impl Iterator<Item = Option<&'a [u8]>> + 'a {
        let spans = self.spans.get(column..).unwrap_or_default();
        spans.iter().step_by(self.column_count.max(1)).map(move |span| self.text(*span, block))
    }

    /// The text of one field.
    #[inline]
    fn text<'a>(&'a self, span: Span, block: &'a [u8]) -> Option<&'a [u8]> {
        if span.start & UNESCAPED == 0 {
            return Some(&block[span.start as usize..span.end as usize]);
        }
        if span == Span::NULL {
            return None;
        }
        Some(&self.unescaped[(span.start & !UNESCAPED) as usize..span.end as usize])
    }
}
