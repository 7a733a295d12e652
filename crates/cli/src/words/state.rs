//! States and other fixed words of the wire, as people read them. Scripts see the wire's words.

use super::Lang;

/// A word of the wire in a language; one that is not known here stays as it is.
pub fn state(lang: Lang, word: &str) -> &str {
    match lang {
        Lang::En => english(word),
        Lang::Zh => chinese(word),
    }
}

fn english(word: &str) -> &str {
    match word {
        "not_waiting" => "not waiting",
        "at_max_parallel" => "at its own limit of parallel tasks",
        "over_quota" => "waits for its quota",
        "no_license" => "waits for a licence",
        "depends" => "waits for other jobs",
        "behind_strict" => "behind an earlier strict job of the project",
        "not_yet" => "waits for its moment to begin",
        "infeasible" => "no pool can take it as things are",
        other => other,
    }
}

fn chinese(word: &str) -> &str {
    match word {
        "paused" => "已暂停",
        "scheduled" => "已排定",
        "skipped" => "已略过",
        "missed" => "已错过",
        "queued" => "排队中",
        "running" => "运行中",
        "succeeded" => "成功",
        "failed" => "失败",
        "cancelled" => "已取消",
        "leased" => "已租约",
        "staging" => "传入数据",
        "publishing" => "发布结果",
        "lost" => "失联",
        "preempted" => "被抢占",
        "applied" => "已申请",
        "verified" => "已核验",
        "active" => "可用",
        "suspended" => "已暂停供给",
        "retired" => "已退出",
        "valid" => "有效",
        "expired" => "已过期",
        "voided" => "已作废",
        "open" => "未结",
        "final" => "已结",
        "not_waiting" => "未在等待",
        "blocked" => "被阻塞",
        "at_max_parallel" => "已达自身并行上限",
        "over_quota" => "等待配额",
        "no_license" => "等待许可证",
        "depends" => "等待其他作业",
        "behind_strict" => "排在本项目更早的严格顺序作业之后",
        "not_yet" => "尚未到开始时间",
        "infeasible" => "目前没有任何资源池能够承接",
        "waiting" => "等待中",
        "viewer" => "只读",
        "member" => "成员",
        "owner" => "负责人",
        "auditor" => "审计",
        "operator" => "运营",
        "provider" => "供给方",
        "yearly average" => "年平均",
        "unknown" => "未知",
        "yes" => "是",
        "no" => "否",
        "ok" => "正常",
        "warn" => "注意",
        "fail" => "不通过",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_stay() {
        assert_eq!(state(Lang::Zh, "quantum"), "quantum");
        assert_eq!(state(Lang::En, "quantum"), "quantum");
        assert_eq!(state(Lang::Zh, "running"), "运行中");
        assert_eq!(state(Lang::En, "running"), "running");
    }
}
