//! Columns of a table with one row per neuron, as Parquet.

use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::Result as ParquetResult;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::error::{Error, Result};

/// The values of one column.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Numbers; NaN is missing.
    Numbers(Vec<f64>),
    /// Words, some of them missing.
    Texts(Vec<Option<String>>),
}

/// A Parquet file of columns of one length, called by ASCII letters, digits and underscores.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when it cannot be made.
pub fn parquet(columns: &[(String, Column)]) -> Result<Vec<u8>> {
    encode(columns).map_err(|e| Error::data(format!("cannot encode Parquet: {e}")))
}

fn encode(columns: &[(String, Column)]) -> ParquetResult<Vec<u8>> {
    let fields: String = columns.iter().map(|(name, column)| column.field(name)).collect();
    let schema = Arc::new(parse_message_type(&format!("message neurons {{ {fields} }}"))?);
    let properties = Arc::new(WriterProperties::builder().build());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, properties)?;
    let mut rows = file.next_row_group()?;
    columns.iter().try_for_each(|(_, column)| column.write(&mut rows))?;
    rows.close()?;
    file.into_inner()
}

impl Column {
    fn field(&self, name: &str) -> String {
        match self {
            Self::Integers(_) => format!("required int64 {name}; "),
            Self::Numbers(_) => format!("optional double {name}; "),
            Self::Texts(_) => format!("optional binary {name} (UTF8); "),
        }
    }

    fn write(&self, rows: &mut SerializedRowGroupWriter<'_, Vec<u8>>) -> ParquetResult<()> {
        let Some(mut column) = rows.next_column()? else { return Ok(()) };
        match self {
            Self::Integers(values) => {
                column.typed::<Int64Type>().write_batch(values, None, None)?;
            }
            Self::Numbers(values) => {
                let present: Vec<i16> = values.iter().map(|value| i16::from(!value.is_nan())).collect();
                let defined: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
                column.typed::<DoubleType>().write_batch(&defined, Some(&present), None)?;
            }
            Self::Texts(values) => {
                let present: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
                let texts: Vec<ByteArray> =
                    values.iter().flatten().map(|text| text.as_str().into()).collect();
                column.typed::<ByteArrayType>().write_batch(&texts, Some(&present), None)?;
            }
        }
        column.close()
    }

    /// The value of a row as text; empty where it is missing.
    pub fn cell(&self, row: usize) -> String {
        match self {
            Self::Integers(values) => values[row].to_string(),
            Self::Numbers(values) if values[row].is_nan() => String::new(),
            Self::Numbers(values) => values[row].to_string(),
            Self::Texts(values) => values[row].clone().unwrap_or_default(),
        }
    }
}
