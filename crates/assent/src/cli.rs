//! The command line as its users type it. Only parsing: what a command does stands in `commands`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A customer data platform in which lawfulness is a property of the query engine.
///
/// Data goes to standard output, talk to standard error. Exit status: 0 done, 1 failed, 2 the call was wrong,
/// 3 denied, 4 imported except for rejected rows.
#[derive(Debug, Parser)]
#[command(name = "assent", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration file; `assent config default` prints one. Without it the defaults hold.
    #[arg(long, global = true, env = "ASSENT_CONFIG")]
    pub config: Option<PathBuf>,

    /// Where the embedded stores and the socket of the running server lie: the setting data_dir, also ASSENT_DATA_DIR
    /// [default: assent-data; for `demo`: assent-demo].
    #[arg(long, global = true)]
    pub data_dir: Option<PathBuf>,

    /// A principal's token (default: the file `token` in the data directory, which `demo` writes).
    #[arg(long, global = true, env = "ASSENT_TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// Confirms the date, as YYYY-MM-DD: after a pause of more than a day nothing is taken in before somebody has looked
    /// at the clock, since one reading far ahead would hold all later receipts there.
    #[arg(long, global = true, value_name = "DATE")]
    pub today: Option<String>,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole idea at work: a sample programme, generated members, a segment, a withdrawal.
    Demo(Demo),
    /// Run the roles that the configuration names: intake, projector, query; all by default.
    Serve(Serve),
    /// Show what `apply` would change in the programme.
    Plan(Definitions),
    /// Validate a programme and journal its definitions.
    Apply(Definitions),
    /// Bring a CSV or NDJSON file in as events, through intake; resumable.
    ///
    /// Exit status: 0 all of it is in; 4 it is in except for rejected rows, which a file lists; 1 it stopped, or every row
    /// was rejected; 2 the mapping or the call is wrong, and nothing was sent. The same command again has the same status.
    Import(Import),
    /// Run or rebuild the projection of profiles.
    Project(Project),
    /// Run one lawful query.
    Query(Query),
    /// Run, list, show, compare and export segments.
    #[command(subcommand)]
    Segment(Segment),
    /// Why people are in or out: reason counts over the base; for an officer, one member or a query.
    Explain(Explain),
    /// Who may use which purpose.
    #[command(subcommand)]
    Principal(Principal),
    /// Make a write key for a source, with the line for `sources.yaml`.
    WriteKey,
    /// What the settings are and who said so.
    #[command(subcommand)]
    Config(Config),
    /// Check the journal's topics; create those that are missing.
    Topics(Topics),
    /// Say whether the server that runs here can do its job: for health checks.
    Ready,
    /// Check configuration, stores and lag; each line says what to do.
    Doctor(Doctor),
}

#[derive(Debug, Args)]
pub struct Demo {
    /// How many members to generate.
    #[arg(long, default_value_t = 10_000)]
    pub members: u32,
    /// The port on 127.0.0.1 to serve on: the setting server.port.
    #[arg(long)]
    pub port: Option<u16>,
    /// Seed of the generated members: the same seed gives the same members.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The sample programme.
    #[arg(long, default_value = "pipelines")]
    pub programme: PathBuf,
    /// Do it all, print, and exit instead of serving.
    #[arg(long)]
    pub once: bool,
    /// Remove what an earlier demo left in its data directory, with all that was done to it since.
    #[arg(long)]
    pub afresh: bool,
}

#[derive(Debug, Args)]
pub struct Serve {
    /// The port on 127.0.0.1 to serve on (loopback only until TLS is configured): the setting server.port.
    #[arg(long)]
    pub port: Option<u16>,
    /// What this process does, separated by commas or repeated: intake, projector, query, or all.
    #[arg(long, value_delimiter = ',')]
    pub roles: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Print every setting with its value and who said it; secrets are redacted.
    Show {
        /// How it is printed.
        #[arg(long, value_enum, default_value_t = ConfigFormat::Table)]
        format: ConfigFormat,
    },
    /// Print a file with every setting at its default, explained.
    Default,
}

#[derive(Debug, Args)]
pub struct Topics {
    /// Create the topics that are missing.
    #[arg(long)]
    pub create: bool,
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// How findings are printed.
    #[arg(long, value_enum, default_value_t = FindingFormat::Table)]
    pub format: FindingFormat,
}

#[derive(Debug, Args)]
pub struct Definitions {
    /// The folder of the programme: purposes/, notices/, segments/, traits.yaml, sources.yaml.
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct Import {
    /// The file: CSV with a header line, or NDJSON.
    pub file: PathBuf,
    /// How its columns become events.
    #[arg(long)]
    pub mapping: PathBuf,
    /// Where bad rows go, with line number and reason (default: FILE.rejects.csv where you stand).
    #[arg(long)]
    pub rejects: Option<PathBuf>,
    /// Start over instead of going on where an earlier run stopped. What came in already is recognised
    /// as a duplicate within the de-duplication window only.
    #[arg(long)]
    pub restart: bool,
}

#[derive(Debug, Args)]
pub struct Project {
    /// Fold everything again from the journal's beginning.
    #[arg(long)]
    pub rebuild: bool,
}

/// The use a caller declares: without a purpose nothing is read.
#[derive(Debug, Args, Clone)]
pub struct UseArgs {
    /// The purpose the data is used for. There is none by default: left out, those you may use are listed.
    // Not required here, since only the server knows which those are.
    #[arg(long)]
    pub purpose: Option<String>,
    /// The channel people will be reached by: whoever refused it is out. Left out, it is the purpose's only one; where it
    /// has several, the answer is for figures and not for reaching anybody: who refused one of them is still in it.
    #[arg(long)]
    pub channel: Option<String>,
    /// The recipient the data is provided to. Left out, it is the purpose's only one; where it has several, nobody is
    /// permitted.
    #[arg(long)]
    pub recipient: Option<String>,
}

#[derive(Debug, Args)]
pub struct Query {
    #[command(flatten)]
    pub use_: UseArgs,
    /// Evaluate as of an earlier instant (RFC 3339): people lawful then and still lawful now.
    #[arg(long)]
    pub as_of: Option<String>,
    /// How rows are printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// One SELECT.
    pub sql: String,
}

#[derive(Debug, Subcommand)]
pub enum Segment {
    /// Run a segment under its own purpose and print its members.
    Run {
        /// The segment's name.
        name: String,
        /// Evaluate as of an earlier instant (RFC 3339): people lawful then and still lawful now.
        #[arg(long)]
        as_of: Option<String>,
        /// How rows are printed.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Run a segment of members and keep who is in it, without printing them: it may have more members than an answer may
    /// have rows.
    Refresh {
        /// The segment's name.
        name: String,
        /// How the count of members is printed.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// List the segments with their purposes.
    List {
        /// How rows are printed.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Tell what a segment's last run changed against the one before: who entered, and who left, by the query or by
    /// consent.
    Diff {
        /// The segment's name.
        name: String,
        /// List who entered, and who left by the query and is still lawful, instead of counting.
        #[arg(long)]
        members: bool,
        /// How rows are printed.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Count how many members segments of one purpose share, as their last runs found them.
    Overlap {
        /// The segments' names, six at most.
        #[arg(required = true)]
        names: Vec<String>,
        /// How rows are printed.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Show a segment's definition.
    Show {
        /// The segment's name.
        name: String,
    },
    /// Write a segment's members to a file with the identifier its purpose allows, and a manifest beside it.
    Export {
        /// The segment's name.
        name: String,
        /// The file format.
        #[arg(long, value_enum, default_value_t = FileFormat::Csv)]
        format: FileFormat,
        /// The folder to write to.
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("person").args(["member", "identifier"]))]
pub struct Explain {
    #[command(flatten)]
    pub use_: UseArgs,
    /// One member: the decisions and notices that made the verdict (officers).
    #[arg(long, conflicts_with_all = ["sql", "identifier"])]
    pub member: Option<String>,
    /// The same by what you know the person by, such as customer_no=1042 (officers).
    #[arg(long, value_name = "NAMESPACE=VALUE", conflicts_with = "sql")]
    pub identifier: Option<String>,
    /// One query: base, permitted, rows (officers).
    #[arg(long)]
    pub sql: Option<String>,
    /// The legal-duty purpose an officer looks at one person under (needed with --member or --identifier, and with them
    /// only).
    #[arg(long, requires = "person")]
    pub under: Option<String>,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

#[derive(Debug, Subcommand)]
pub enum Principal {
    /// Add a principal; its token goes to standard output, once.
    Add {
        /// The principal's name.
        name: String,
        /// What it may do: officers alone see reasons per member and use legal-duty purposes.
        #[arg(long, value_enum, default_value_t = Role::Analyst)]
        role: Role,
        /// The purposes it may use data for.
        #[arg(long = "purpose", required = true)]
        purposes: Vec<String>,
    },
    /// List principals.
    List {
        /// How rows are printed.
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Revoke a principal's token, at once.
    Revoke {
        /// The principal's name.
        name: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Role {
    Analyst,
    Officer,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Ndjson,
    Csv,
    Parquet,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ConfigFormat {
    Table,
    Json,
    Toml,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FindingFormat {
    Table,
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FileFormat {
    Csv,
    Ndjson,
    Parquet,
}
