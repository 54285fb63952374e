//! Bench.
/// A
#[derive(Debug, clap::Args)]
pub struct BenchArguments {}
pub(crate) fn execute(_: &BenchArguments) -> Result<bool, crate::Failure> {
    Ok(true)
}
