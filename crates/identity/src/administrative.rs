//! Administrative codes (GB/T 2260): six digits for province, prefecture and county.
//!
//! Invariant: a code in hand begins with the two digits of an existing province. Names are known
//! for the places the exchange's own map holds; a county elsewhere is a valid code without one.

use std::fmt;
use std::str::FromStr;

/// An administrative code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Adm6(u32);

/// Why a text is no administrative code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdmError {
    /// Not six digits.
    #[error("`{0}` is not an administrative code of six digits")]
    Form(String),
    /// No province begins so.
    #[error("no province has the code {0}")]
    Province(String),
}

/// Provinces, autonomous regions, municipalities and special administrative regions.
const PROVINCES: &[(u32, &str)] = &[
    (11, "Beijing"),
    (12, "Tianjin"),
    (13, "Hebei"),
    (14, "Shanxi"),
    (15, "Inner Mongolia"),
    (21, "Liaoning"),
    (22, "Jilin"),
    (23, "Heilongjiang"),
    (31, "Shanghai"),
    (32, "Jiangsu"),
    (33, "Zhejiang"),
    (34, "Anhui"),
    (35, "Fujian"),
    (36, "Jiangxi"),
    (37, "Shandong"),
    (41, "Henan"),
    (42, "Hubei"),
    (43, "Hunan"),
    (44, "Guangdong"),
    (45, "Guangxi"),
    (46, "Hainan"),
    (50, "Chongqing"),
    (51, "Sichuan"),
    (52, "Guizhou"),
    (53, "Yunnan"),
    (54, "Tibet"),
    (61, "Shaanxi"),
    (62, "Gansu"),
    (63, "Qinghai"),
    (64, "Ningxia"),
    (65, "Xinjiang"),
    (71, "Taiwan"),
    (81, "Hong Kong"),
    (82, "Macao"),
];

/// Code, English and Chinese name of the areas in which the places of the map lie, with the slug
/// those places carry there. Gui'an New Area has no code of its own; it is administered from
/// Guiyang and carries Guiyang's.
const AREAS: &[(u32, &str, &str)] = &[
    (110_000, "beijing", "北京市"),
    (120_000, "tianjin", "天津市"),
    (130_100, "shijiazhuang", "石家庄市"),
    (130_700, "zhangjiakou", "张家口市"),
    (131_000, "langfang", "廊坊市"),
    (140_100, "taiyuan", "太原市"),
    (150_100, "hohhot", "呼和浩特市"),
    (150_900, "ulanqab", "乌兰察布市"),
    (210_100, "shenyang", "沈阳市"),
    (210_200, "dalian", "大连市"),
    (220_100, "changchun", "长春市"),
    (230_100, "harbin", "哈尔滨市"),
    (310_000, "shanghai", "上海市"),
    (310_118, "qingpu", "青浦区"),
    (320_100, "nanjing", "南京市"),
    (320_200, "wuxi", "无锡市"),
    (320_500, "suzhou", "苏州市"),
    (330_100, "hangzhou", "杭州市"),
    (330_200, "ningbo", "宁波市"),
    (330_300, "wenzhou", "温州市"),
    (340_100, "hefei", "合肥市"),
    (340_200, "wuhu", "芜湖市"),
    (350_100, "fuzhou", "福州市"),
    (350_200, "xiamen", "厦门市"),
    (360_100, "nanchang", "南昌市"),
    (370_100, "jinan", "济南市"),
    (370_200, "qingdao", "青岛市"),
    (410_100, "zhengzhou", "郑州市"),
    (420_100, "wuhan", "武汉市"),
    (430_100, "changsha", "长沙市"),
    (440_100, "guangzhou", "广州市"),
    (440_200, "shaoguan", "韶关市"),
    (440_300, "shenzhen", "深圳市"),
    (440_400, "zhuhai", "珠海市"),
    (440_600, "foshan", "佛山市"),
    (441_900, "dongguan", "东莞市"),
    (450_100, "nanning", "南宁市"),
    (460_100, "haikou", "海口市"),
    (500_000, "chongqing", "重庆市"),
    (510_100, "chengdu", "成都市"),
    (520_100, "guiyang", "贵阳市"),
    (520_200, "liupanshui", "六盘水市"),
    (520_300, "zunyi", "遵义市"),
    (520_400, "anshun", "安顺市"),
    (520_500, "bijie", "毕节市"),
    (520_600, "tongren", "铜仁市"),
    (522_301, "xingyi", "兴义市"),
    (522_601, "kaili", "凯里市"),
    (522_701, "duyun", "都匀市"),
    (530_100, "kunming", "昆明市"),
    (540_100, "lhasa", "拉萨市"),
    (610_100, "xian", "西安市"),
    (620_100, "lanzhou", "兰州市"),
    (621_000, "qingyang", "庆阳市"),
    (630_100, "xining", "西宁市"),
    (640_100, "yinchuan", "银川市"),
    (640_500, "zhongwei", "中卫市"),
    (650_100, "urumqi", "乌鲁木齐市"),
    (810_000, "hongkong", "香港特别行政区"),
    (820_000, "macao", "澳门特别行政区"),
];

/// Places of the map that carry another place's code.
const CARRIED: &[(&str, &str)] = &[("guian", "guiyang")];

/// The known areas: code, slug of the place on the map, Chinese name.
pub fn areas() -> impl Iterator<Item = (Adm6, &'static str, &'static str)> {
    AREAS.iter().map(|(code, slug, zh)| (Adm6(*code), *slug, *zh))
}

impl Adm6 {
    /// The code of a place of the map by its slug.
    pub fn of_place(slug: &str) -> Option<Self> {
        let slug = CARRIED.iter().find(|(place, _)| *place == slug).map_or(slug, |(_, by)| by);
        AREAS.iter().find(|(_, name, _)| *name == slug).map(|(code, _, _)| Self(*code))
    }
    /// English name of the province.
    pub fn province(self) -> &'static str {
        province(self.0).expect("checked when the code was made")
    }
    /// Chinese name of the area, where known.
    pub fn area_zh(self) -> Option<&'static str> {
        AREAS.iter().find(|(code, _, _)| *code == self.0).map(|(_, _, zh)| *zh)
    }
}

fn province(code: u32) -> Option<&'static str> {
    PROVINCES.iter().find(|(prefix, _)| *prefix == code / 10_000).map(|(_, name)| *name)
}

impl FromStr for Adm6 {
    type Err = AdmError;
    fn from_str(text: &str) -> Result<Self, AdmError> {
        if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AdmError::Form(text.chars().take(40).collect()));
        }
        let code = text.parse().expect("six digits are a number");
        province(code).map(|_| Self(code)).ok_or_else(|| AdmError::Province(text[..2].into()))
    }
}
impl fmt::Display for Adm6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}
impl fmt::Debug for Adm6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sane() {
        assert_eq!(PROVINCES.len(), 34);
        assert!(PROVINCES.is_sorted() && AREAS.is_sorted_by_key(|area| area.0));
        // 61 places on the map, one of which carries another's code.
        assert_eq!(AREAS.len(), 60);
        for (code, slug, zh) in areas() {
            assert_eq!(code.to_string().parse(), Ok(code));
            assert_eq!(code.area_zh(), Some(zh));
            assert_eq!(Adm6::of_place(slug), Some(code));
            assert!(!code.province().is_empty());
        }
    }

    #[test]
    fn codes_by_text_and_place() {
        let guiyang: Adm6 = "520100".parse().expect("a code");
        assert_eq!(guiyang.province(), "Guizhou");
        assert_eq!(Adm6::of_place("guian"), Some(guiyang));
        assert_eq!(Adm6::of_place("atlantis"), None);
        // A county that is not on the map.
        assert_eq!("520103".parse::<Adm6>().expect("a code").area_zh(), None);
        assert_eq!("990100".parse::<Adm6>(), Err(AdmError::Province("99".into())));
        for bad in ["", "52010", "5201000", "52010x", "+52010"] {
            assert!(matches!(bad.parse::<Adm6>(), Err(AdmError::Form(_))), "{bad}");
        }
    }
}
