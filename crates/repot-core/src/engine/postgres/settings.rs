//! temporary
use super::facts::ClusterFacts;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SettingsFile {
    Conf,
    AutoConf,
}
#[allow(missing_docs)]
#[derive(Debug, Clone)]
pub struct Carried {
    pub name: String,
    pub value: String,
    pub file: SettingsFile,
}
#[allow(missing_docs)]
#[derive(Debug, Clone)]
pub struct Dropped {
    pub name: String,
    pub reason: String,
}
#[allow(missing_docs)]
#[derive(Debug, Clone, Default)]
pub struct SettingsPlan {
    pub carried: Vec<Carried>,
    pub dropped: Vec<Dropped>,
}
#[allow(missing_docs)]
pub fn settings_to_carry(_f: &ClusterFacts, _m: u32) -> SettingsPlan {
    SettingsPlan::default()
}
