//! Every kind of statement that the parser knows, and what a session says to it.

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;

/// Names the kinds and tells of which kind a statement is. A kind that an upgrade adds does not compile here.
macro_rules! kinds {
    ($($kind:ident)*) => {
        /// Every kind of statement of the parser.
        pub const KINDS: &[&str] = &[$(stringify!($kind)),*];

        fn kind_of(statement: &ast::Statement) -> &'static str {
            match statement {
                $(ast::Statement::$kind { .. } => stringify!($kind)),*
            }
        }
    };
}

kinds! {
    Analyze Set Truncate Msck Query Insert Install Load Directory Case If While Raise Call Copy CopyIntoSnowflake Open
    Close Update Delete CreateView CreateTable CreateVirtualTable CreateIndex CreateRole CreateSecret CreateServer
    CreatePolicy CreateConnector CreateOperator CreateOperatorFamily CreateOperatorClass AlterTable AlterSchema
    AlterIndex AlterView AlterFunction AlterType AlterCollation AlterOperator AlterOperatorFamily AlterOperatorClass
    AlterRole AlterPolicy AlterConnector AlterSession AttachDatabase AttachDuckDBDatabase DetachDuckDBDatabase Drop
    DropFunction DropDomain DropProcedure DropSecret DropPolicy DropConnector Declare CreateExtension CreateCollation
    DropExtension DropOperator DropOperatorFamily DropOperatorClass Fetch Flush Discard ShowFunctions ShowVariable
    ShowStatus ShowVariables ShowCreate ShowColumns ShowCatalogs ShowDatabases ShowProcessList ShowSchemas ShowCharset
    ShowObjects ShowTables ShowViews ShowCollation Use StartTransaction Comment Commit Rollback CreateSchema
    CreateDatabase CreateFunction CreateTrigger DropTrigger CreateProcedure CreateMacro CreateStage Assert Grant Deny
    Revoke Deallocate Execute Prepare Kill ExplainTable Explain Savepoint ReleaseSavepoint Merge Cache UNCache
    CreateSequence CreateDomain CreateType Pragma Lock LockTables UnlockTables Unload OptimizeTable LISTEN UNLISTEN
    NOTIFY LoadData RenameTable List Remove RaisError Throw Print WaitFor Return ExportData CreateUser AlterUser Vacuum
    Reset
}

/// The kind of the statement that a session's parser makes of a text; `None` when it cannot be read at all.
pub fn kind(sql: &str) -> Option<&'static str> {
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&GenericDialect {})
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .ok()?;
    Some(match statements.pop_front()? {
        Statement::Statement(inner) => kind_of(&inner),
        Statement::CreateExternalTable(_) => "CREATE EXTERNAL TABLE",
        Statement::CopyTo(_) => "COPY TO",
        Statement::Explain(_) => "EXPLAIN",
        Statement::Reset(_) => "RESET",
    })
}

/// A text of each kind, as far as there is one.
pub const SAMPLES: &[&str] = &[
    "ANALYZE members",
    "SET a = 1",
    "TRUNCATE TABLE members",
    "MSCK REPAIR TABLE members",
    "SELECT 1",
    "VALUES (1)",
    "INSERT INTO members VALUES (1)",
    "INSTALL tpch",
    "LOAD tpch",
    "INSERT OVERWRITE DIRECTORY '/x' SELECT 1",
    "CASE x WHEN 1 THEN SELECT 1; END CASE",
    "IF 1 = 1 THEN SELECT 1; END IF",
    "WHILE 1 = 1 BEGIN SELECT 1; END",
    "RAISE USING MESSAGE = 'x'",
    "CALL f()",
    "COPY members TO '/x'",
    "COPY members FROM '/x'",
    "COPY INTO members FROM @stage",
    "OPEN c",
    "CLOSE c",
    "UPDATE members SET city = 'x'",
    "DELETE FROM members",
    "CREATE VIEW v AS SELECT 1",
    "CREATE TABLE t (a INT)",
    "CREATE TABLE t AS SELECT 1",
    "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/x'",
    "CREATE VIRTUAL TABLE t USING m (a)",
    "CREATE INDEX i ON members (city)",
    "CREATE ROLE r",
    "CREATE SECRET s (TYPE S3)",
    "CREATE SERVER s FOREIGN DATA WRAPPER w",
    "CREATE POLICY p ON members",
    "CREATE CONNECTOR c",
    "CREATE OPERATOR + (FUNCTION = f)",
    "CREATE OPERATOR FAMILY f USING btree",
    "CREATE OPERATOR CLASS c FOR TYPE INT USING btree AS STORAGE INT",
    "ALTER TABLE members DROP COLUMN city",
    "ALTER SCHEMA s RENAME TO t",
    "ALTER INDEX i RENAME TO j",
    "ALTER VIEW v AS SELECT 1",
    "ALTER FUNCTION f() RENAME TO g",
    "ALTER TYPE t RENAME TO u",
    "ALTER COLLATION c RENAME TO d",
    "ALTER OPERATOR + (INT, INT) OWNER TO r",
    "ALTER OPERATOR FAMILY f USING btree RENAME TO g",
    "ALTER OPERATOR CLASS c USING btree RENAME TO d",
    "ALTER ROLE r RENAME TO s",
    "ALTER POLICY p ON members RENAME TO q",
    "ALTER CONNECTOR c SET OWNER USER 'x'",
    "ALTER SESSION SET a = 1",
    "ATTACH DATABASE 'x' AS y",
    "ATTACH 'x.db' AS y",
    "DETACH y",
    "DROP TABLE members",
    "DROP FUNCTION f",
    "DROP DOMAIN d",
    "DROP PROCEDURE p",
    "DROP SECRET s",
    "DROP POLICY p ON members",
    "DROP CONNECTOR c",
    "DECLARE c CURSOR FOR SELECT 1",
    "CREATE EXTENSION e",
    "CREATE COLLATION c FROM d",
    "DROP EXTENSION e",
    "DROP OPERATOR + (INT, INT)",
    "DROP OPERATOR FAMILY f USING btree",
    "DROP OPERATOR CLASS c USING btree",
    "FETCH NEXT IN c",
    "FLUSH TABLES",
    "DISCARD ALL",
    "SHOW FUNCTIONS",
    "SHOW a",
    "SHOW STATUS",
    "SHOW VARIABLES",
    "SHOW CREATE TABLE members",
    "SHOW COLUMNS FROM members",
    "SHOW CATALOGS",
    "SHOW DATABASES",
    "SHOW PROCESSLIST",
    "SHOW SCHEMAS",
    "SHOW CHARSET",
    "SHOW OBJECTS",
    "SHOW TABLES",
    "SHOW VIEWS",
    "SHOW COLLATION",
    "USE x",
    "START TRANSACTION",
    "BEGIN",
    "COMMENT ON TABLE members IS 'x'",
    "COMMIT",
    "ROLLBACK",
    "CREATE SCHEMA s",
    "CREATE DATABASE d",
    "CREATE FUNCTION f() RETURNS INT RETURN 1",
    "CREATE TRIGGER t BEFORE INSERT ON members FOR EACH ROW EXECUTE FUNCTION f()",
    "DROP TRIGGER t ON members",
    "CREATE PROCEDURE p AS BEGIN SELECT 1; END",
    "CREATE MACRO m(a) AS a",
    "CREATE STAGE s",
    "ASSERT 1 = 1",
    "GRANT SELECT ON members TO r",
    "DENY SELECT ON members TO r",
    "REVOKE SELECT ON members FROM r",
    "DEALLOCATE p",
    "EXECUTE p",
    "PREPARE p AS SELECT 1",
    "KILL 1",
    "DESCRIBE members",
    "EXPLAIN SELECT 1",
    "EXPLAIN members",
    "SAVEPOINT s",
    "RELEASE SAVEPOINT s",
    "MERGE INTO members USING events ON true WHEN MATCHED THEN DELETE",
    "CACHE TABLE t",
    "UNCACHE TABLE t",
    "CREATE SEQUENCE s",
    "CREATE DOMAIN d AS INT",
    "CREATE TYPE t AS (a INT)",
    "PRAGMA a",
    "LOCK TABLE members",
    "LOCK TABLES members READ",
    "UNLOCK TABLES",
    "UNLOAD ('SELECT 1') TO 's3://x'",
    "OPTIMIZE TABLE members",
    "LISTEN c",
    "UNLISTEN c",
    "NOTIFY c",
    "LOAD DATA INPATH '/x' INTO TABLE members",
    "RENAME TABLE members TO people",
    "LIST @stage",
    "REMOVE @stage",
    "RAISERROR('x', 1, 1)",
    "THROW 51000, 'x', 1",
    "PRINT 'x'",
    "WAITFOR DELAY '00:00:01'",
    "RETURN 1",
    "EXPORT DATA OPTIONS(uri='x') AS SELECT 1",
    "CREATE USER u",
    "ALTER USER u RENAME TO v",
    "VACUUM members",
    "RESET a",
];
