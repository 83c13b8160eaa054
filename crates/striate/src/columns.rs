//! Tables as named columns: written as Parquet, read from Parquet and CSV.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Once};

use bytes::Bytes;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::Field;
use parquet::schema::parser::parse_message_type;

use crate::disk;
use crate::error::{Error, Result, list};

/// Columns by name, in order, all of one length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    /// Name and values of each.
    pub columns: Vec<(String, Column)>,
    /// Values in each.
    pub rows: usize,
}

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
    /// Numbers; NaN is missing.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the first row with another text.
    pub fn numbers(&self) -> Result<Vec<f64>> {
        match self {
            Self::Integers(values) => Ok(values.iter().map(|&value| value as f64).collect()),
            Self::Numbers(values) => Ok(values.clone()),
            Self::Texts(values) => each(values, "a number", |text| text.parse().ok(), Some(f64::NAN)),
        }
    }

    /// Whole numbers, of which none may be missing.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the first row with anything else.
    pub fn integers(&self) -> Result<Vec<i64>> {
        // Beyond 2^53 neighbouring whole numbers would be the same float.
        let whole = |value: f64| (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64);
        let number = |text: &str| text.parse().ok().or_else(|| whole(text.parse().ok()?));
        match self {
            Self::Integers(values) => Ok(values.clone()),
            Self::Numbers(values) => {
                let found = values.iter().map(|&value| whole(value)).enumerate();
                found.map(|(row, value)| value.ok_or_else(|| refused(row, "a whole number"))).collect()
            }
            Self::Texts(values) => each(values, "a whole number", number, None),
        }
    }

    /// Words; numbers are written in decimal.
    pub fn texts(&self) -> Vec<Option<String>> {
        match self {
            Self::Texts(values) => values.clone(),
            Self::Integers(values) => values.iter().map(|value| Some(value.to_string())).collect(),
            Self::Numbers(values) => {
                values.iter().map(|value| (!value.is_nan()).then(|| value.to_string())).collect()
            }
        }
    }

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

impl Columns {
    /// The column `name`, where there is one.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(known, _)| known == name).map(|(_, column)| column)
    }

    /// The column `name`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the columns there are.
    pub fn require(&self, name: &str) -> Result<&Column> {
        self.get(name).ok_or_else(|| {
            let names: Vec<&String> = self.columns.iter().map(|(name, _)| name).collect();
            Error::data(format!("has no column `{name}`")).hint(list("there are", &names))
        })
    }
}

/// The columns of the file `path`, which its name tells to be Parquet or CSV.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when it is missing or damaged, or has another name.
pub fn open(path: &Path) -> Result<Columns> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let read = || match ending.as_deref() {
        Some("parquet") => read_parquet(disk::read(path, disk::TABLE)?),
        Some("csv") => read_csv(&disk::read(path, disk::TABLE)?),
        _ => Err(Error::data("is no table that is read").hint("its name should end in .csv or .parquet")),
    };
    read().map_err(|error| error.file(path))
}

/// The columns of a Parquet file: numbers, words and truth values (1 and 0).
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when it is damaged, or a column holds anything else.
pub fn read_parquet(bytes: Vec<u8>) -> Result<Columns> {
    unasserted(|| decode(bytes)).unwrap_or_else(|| Err(damaged(CONTRADICTS)))
}

/// Why a file is not read that the reader of Parquet panics over.
pub const CONTRADICTS: &str = "it contradicts itself";

thread_local! {
    /// Whether this thread reads what may be damaged, so that a panic is an answer and nothing to tell people of.
    static IS_READING: Cell<bool> = const { Cell::new(false) };
}

/// What `read` gives, none where it panics, which nothing is printed about: the reader of Parquet asserts some of what a file
/// merely claims.
pub fn unasserted<T>(read: impl FnOnce() -> T) -> Option<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_READING.get() {
                told(panic)
            }
        }));
    });
    let before = IS_READING.replace(true);
    let read = panic::catch_unwind(AssertUnwindSafe(read));
    IS_READING.set(before);
    read.ok()
}

fn damaged(why: impl std::fmt::Display) -> Error {
    Error::data(format!("is not a readable Parquet file: {why}"))
        .hint("columns of numbers and words, not compressed or with snappy (the default of pandas)")
}

fn decode(bytes: Vec<u8>) -> Result<Columns> {
    let size = bytes.len();
    let file = SerializedFileReader::new(Bytes::from(bytes)).map_err(damaged)?;
    if !lies_within(file.metadata(), size as u64) {
        return Err(damaged("a column lies outside the file"));
    }
    let fields = file.metadata().file_metadata().schema().get_fields();
    let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    let mut cells: Vec<Vec<Field>> = names.iter().map(|_| Vec::new()).collect();
    let mut rows = 0;
    for row in file.get_row_iter(None).map_err(damaged)? {
        let row = row.map_err(damaged)?.into_columns();
        cells.iter_mut().zip(row).for_each(|(column, (_, cell))| column.push(cell));
        rows += 1;
    }
    let column = |(name, cells): (String, Vec<Field>)| {
        let column = typed(cells).map_err(|error| error.key(&name))?;
        Ok((name, column))
    };
    Ok(Columns { columns: names.into_iter().zip(cells).map(column).collect::<Result<_>>()?, rows })
}

/// Whether every column lies within a file of `size` bytes: the reader takes that for granted.
pub fn lies_within(metadata: &ParquetMetaData, size: u64) -> bool {
    let mut columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let is_within = |column: &ColumnChunkMetaData| {
        let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
        let end = start.checked_add(column.compressed_size());
        start >= 0 && column.compressed_size() >= 0 && end.is_some_and(|end| end as u64 <= size)
    };
    columns.all(is_within)
}

/// The columns of a CSV file with a row of names, as words; an empty cell is missing.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) naming the line that has another number of cells, or is not text.
pub fn read_csv(bytes: &[u8]) -> Result<Columns> {
    let damaged = |e: csv::Error| Error::data(format!("is not a readable CSV file: {e}"));
    let mut file = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let names: Vec<String> = file.headers().map_err(damaged)?.iter().map(str::to_owned).collect();
    let mut cells: Vec<Vec<Option<String>>> = names.iter().map(|_| Vec::new()).collect();
    let mut rows = 0;
    for row in file.records() {
        let row = row.map_err(damaged)?;
        let present = row.iter().map(|cell| (!cell.is_empty()).then(|| cell.to_owned()));
        cells.iter_mut().zip(present).for_each(|(column, cell)| column.push(cell));
        rows += 1;
    }
    let columns = names.into_iter().zip(cells.into_iter().map(Column::Texts)).collect();
    Ok(Columns { columns, rows })
}

fn each<T: Clone>(
    texts: &[Option<String>],
    what: &str,
    read: impl Fn(&str) -> Option<T>,
    missing: Option<T>,
) -> Result<Vec<T>> {
    let value = |(row, text): (usize, &Option<String>)| match text {
        Some(text) => read(text.trim()).ok_or_else(|| refused(row, &format!("{what}, but `{text}`"))),
        None => missing.clone().ok_or_else(|| refused(row, &format!("{what}, but missing"))),
    };
    texts.iter().enumerate().map(value).collect()
}

fn refused(row: usize, what: &str) -> Error {
    Error::data(format!("row {row} is not {what}"))
}

/// The narrowest kind of column that holds all of these.
fn typed(cells: Vec<Field>) -> Result<Column> {
    if let Some(whole) = cells.iter().map(integer).collect::<Option<Vec<i64>>>() {
        return Ok(Column::Integers(whole));
    }
    if let Some(numbers) = cells.iter().map(number).collect::<Option<Vec<f64>>>() {
        return Ok(Column::Numbers(numbers));
    }
    let text = |(row, cell): (usize, Field)| match cell {
        Field::Null => Ok(None),
        Field::Str(text) => Ok(Some(text)),
        Field::Bytes(bytes) => match String::from_utf8(bytes.data().to_vec()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(refused(row, "text")),
        },
        _ => Err(refused(row, "a number or a text")),
    };
    cells.into_iter().enumerate().map(text).collect::<Result<_>>().map(Column::Texts)
}

fn integer(cell: &Field) -> Option<i64> {
    match *cell {
        Field::Bool(value) => Some(value.into()),
        Field::Byte(value) => Some(value.into()),
        Field::Short(value) => Some(value.into()),
        Field::Int(value) => Some(value.into()),
        Field::Long(value) => Some(value),
        Field::UByte(value) => Some(value.into()),
        Field::UShort(value) => Some(value.into()),
        Field::UInt(value) => Some(value.into()),
        Field::ULong(value) => value.try_into().ok(),
        _ => None,
    }
}

fn number(cell: &Field) -> Option<f64> {
    match *cell {
        Field::Null => Some(f64::NAN),
        Field::Float(value) => Some(value.into()),
        Field::Double(value) => Some(value),
        _ => integer(cell).map(|value| value as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<(String, Column)> {
        vec![
            ("unit_id".into(), Column::Integers(vec![7, -1, 1 << 60])),
            ("x_um".into(), Column::Numbers(vec![0.5, f64::NAN, 2.0])),
            ("area".into(), Column::Texts(vec![Some("V1".into()), None, Some("LM, \"α\"".into())])),
        ]
    }

    #[test]
    fn parquet_reads_back_what_was_written() {
        let read = read_parquet(parquet(&columns()).unwrap()).unwrap();
        assert_eq!((read.rows, read.get("unit_id")), (3, Some(&columns()[0].1)));
        assert_eq!(read.require("area").unwrap(), &columns()[2].1);
        let x = read.require("x_um").unwrap().numbers().unwrap();
        assert!(x[1].is_nan() && (x[0], x[2]) == (0.5, 2.0));
        let error = read.require("layer").unwrap_err();
        assert_eq!(error.advice(), Some("there are: unit_id, x_um, area"));
    }

    #[test]
    fn csv_keeps_the_letters_of_identifiers() {
        let read = read_csv("id, start ,tier\n007,0.5,train\n8,,\"a, b\"\n".as_bytes()).unwrap();
        assert_eq!(read.require("id").unwrap().texts(), [Some("007".into()), Some("8".into())]);
        assert_eq!(read.require("id").unwrap().integers().unwrap(), [7, 8]);
        let start = read.require("start").unwrap();
        assert!(start.numbers().unwrap()[1].is_nan());
        assert!(start.integers().unwrap_err().message().starts_with("row 0 is not a whole number"));
        assert!(read.require("tier").unwrap().numbers().is_err());
        assert!(read_csv(b"a,b\n1\n").unwrap_err().message().contains("line: 2"));
    }

    /// Whoever hands on a table must not be able to end the program.
    #[test]
    fn a_damaged_table_is_an_error() {
        let sound = parquet(&columns()).unwrap();
        for at in 0..sound.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut bytes = sound.clone();
                bytes[at] ^= change;
                match read_parquet(bytes) {
                    Ok(read) => {
                        assert!(read.columns.iter().all(|(_, of)| of.texts().len() == read.rows), "{at}")
                    }
                    Err(error) => assert!(
                        error.advice().is_some() || error.message().starts_with("row "),
                        "byte {at} ^ {change}: {error}"
                    ),
                }
            }
            assert!(read_parquet(sound[..at].to_vec()).is_err());
        }
    }

    /// Asks this very test in a process of its own, since the hook of a process is one.
    #[test]
    fn what_a_reader_panics_over_is_told_by_us_alone() {
        const ALONE: &str = "STRIATE_TEST_PANICS";
        const NAME: &str = "columns::tests::what_a_reader_panics_over_is_told_by_us_alone";
        if std::env::var_os(ALONE).is_some() {
            assert_eq!(unasserted(|| 3), Some(3));
            assert_eq!(unasserted(|| -> u8 { panic!("over a file") }), None);
            panic!("over our own mistake");
        }
        let mut test = std::process::Command::new(std::env::current_exe().unwrap());
        let done = test.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1").output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert!(told.contains("over our own mistake") && !told.contains("over a file"), "{told}");
    }
}
