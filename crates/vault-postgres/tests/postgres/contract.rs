//! The suite of every vault, with two vaults on one schema as two processes.

use std::sync::Arc;

use assent_vault::contract::{self, Backend};
use assent_vault::stores::{Blind, Place};
use assent_vault::{Error, MasterKey, RandomSource, Vault};
use assent_vault_postgres::PostgresVault;

use crate::support::{Store, address};

impl Backend for Store {
    fn shared(&self) -> bool {
        true
    }

    fn open(
        &self,
        master: &MasterKey,
        random: Box<dyn RandomSource>,
        remembered: usize,
    ) -> Result<Arc<dyn Vault>, Error> {
        let mut config = self.config();
        config.cached_subjects = remembered;
        config.cached_keys = remembered;
        Ok(Arc::new(PostgresVault::open(&config, master, random)?))
    }

    fn stored(&self) -> Vec<u8> {
        let columns = [
            "SELECT subject || blind || record FROM identifiers",
            "SELECT place || record FROM keys",
            "SELECT fingerprint FROM head",
        ];
        columns.map(|sql| self.bytes(sql).concat()).concat()
    }

    fn index(&self) -> Vec<Blind> {
        let blinds = self.bytes("SELECT blind FROM identifiers").into_iter();
        blinds.map(|blind| blind.try_into().unwrap()).collect()
    }

    fn record(&self, place: &Place) -> Vec<u8> {
        let sql = format!("SELECT record FROM keys WHERE place = {}", hex(place));
        self.bytes(&sql).remove(0)
    }

    fn put(&self, place: &Place, record: &[u8]) {
        let (place, record) = (hex(place), hex(record));
        self.run(&format!(
            "UPDATE keys SET record = {record} WHERE place = {place}"
        ));
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("decode('{digits}', 'hex')")
}

#[test]
fn the_contract() {
    if let Some(address) = address() {
        contract::all(|| Store::new(&address));
    }
}
