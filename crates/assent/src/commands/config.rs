//! `assent config show` and `assent config default`.

use comfy_table::{Table, presets};

use super::print_bytes;
use crate::cli::ConfigFormat;
use crate::config::{RawConfig, show};
use crate::failure::Failure;

/// Prints what is in force and who said it; then whether it makes sense.
///
/// # Errors
/// Every setting that does not make sense.
pub fn show(raw: &RawConfig, format: ConfigFormat) -> Result<(), Failure> {
    let text = match format {
        ConfigFormat::Table => table(raw),
        ConfigFormat::Json => show::as_json(raw),
        ConfigFormat::Toml => show::as_toml(raw),
    };
    print_bytes(text.as_bytes())?;
    crate::config::Config::read(raw)?;
    Ok(())
}

/// Prints a file with every setting at its default.
///
/// # Errors
/// Standard output is closed.
pub fn default_file() -> Result<(), Failure> {
    print_bytes(show::default_file().as_bytes())
}

fn table(raw: &RawConfig) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["setting", "value", "origin"]);
    for one in show::in_force(raw) {
        let value = one.value.unwrap_or_else(|| "not set".to_owned());
        table.add_row([one.key, value, one.origin.to_string()]);
    }
    format!("{}\n", table.trim_fmt())
}
