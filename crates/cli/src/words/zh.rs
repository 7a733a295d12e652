//! Messages in Chinese.

use super::Word;

/// A message, with its values' names in braces.
pub const fn text(word: Word) -> &'static str {
    match word {
        // Heads of tables and names of values.
        Word::Accelerator => "加速卡",
        Word::Accounts => "账户数",
        Word::Address => "地址",
        Word::Agent => "代理",
        Word::Aliases => "别名",
        Word::Amount => "金额",
        Word::At => "时间",
        Word::AtMost => "至多",
        Word::Attempt => "尝试",
        Word::Attribute => "属性",
        Word::Balance => "余额",
        Word::Balanced => "账平",
        Word::Behind => "后移",
        Word::Basis => "依据",
        Word::BrokenAt => "损坏处",
        Word::BuyerClass => "价格类别",
        Word::CarbonTonnes => "二氧化碳（吨）",
        Word::CardHour => "每卡时",
        Word::CardHours => "卡时",
        Word::CardsAtWork => "在用加速卡",
        Word::CarbonSaved => "减少的碳排放",
        Word::CostSaved => "减少的成本",
        Word::PriceSaved => "减少的电费",
        Word::EachAlone => "各自最优",
        Word::LateJobs => "误期",
        Word::AtOnce => "同时运行",
        Word::CameTo => "结果",
        Word::CatchUp => "错过时",
        Word::Cards => "加速卡",
        Word::ChangeMark => "变化",
        Word::Differs => "不同之处",
        Word::Check => "检查项",
        Word::Classes => "各类买方付",
        Word::Consumers => "需求方",
        Word::CoreHour => "每核时",
        Word::CoreHours => "核时",
        Word::CoreSeconds => "核秒",
        Word::Cost => "费用",
        Word::DeadlineMisses => "错过截止",
        Word::DelayViolations => "违反时延",
        Word::Eflops => "EFLOPS（FP16）",
        Word::GbSeconds => "GB秒",
        Word::Cores => "核数",
        Word::Created => "创建时间",
        Word::Credits => "贷方合计",
        Word::Currency => "币种",
        Word::Deadline => "截止时间",
        Word::Checkpoint => "检查点",
        Word::Carbon => "碳排放",
        Word::GramsNow => "每千瓦时 CO2",
        Word::SaidBy => "来源",
        Word::CleanestHour => "最清洁时段",
        Word::KnownUntil => "已知至",
        Word::Overhead => "PUE",
        Word::Closed => "关闭",
        Word::Reliability => "可靠度",
        Word::QueueAhead => "排队席位",
        Word::HeldByOthers => "他人占用",
        Word::WaitingThere => "排队（他人 / 本方）",
        Word::Forecast => "本方预计开始",
        Word::AccountsDiffer => "站点记账不一致",
        Word::SeenAt => "观测时间",
        Word::StartsBy => "最迟开始",
        Word::EndsBy => "最迟结束",
        Word::Debits => "借方合计",
        Word::Delay => "时延",
        Word::DelayClass => "时延等级",
        Word::DueNext => "下次时间",
        Word::Earned => "应得",
        Word::Ended => "结束",
        Word::Engine => "引擎",
        Word::Exchange => "交易所",
        Word::ExitCode => "退出码",
        Word::Gini => "收入基尼系数",
        Word::JobsDone => "完成作业",
        Word::LeastCost => "任何方案都不会低于",
        Word::OverBound => "高于下界",
        Word::Policy => "策略",
        Word::Providers => "供应方",
        Word::ResidenceViolations => "违反驻留",
        Word::Used => "用量",
        Word::ExpectedStart => "预计开始",
        Word::Expires => "到期",
        Word::Fence => "隔离者",
        Word::Fabric => "高速网络",
        Word::Features => "各节点都有",
        Word::Isolation => "任务隔离",
        Word::From => "起",
        Word::GbHour => "每GB时",
        Word::Heard => "最近联络",
        Word::Had => "已用份额",
        Word::Held => "冻结",
        Word::Id => "编号",
        Word::Intact => "链完整",
        Word::Invoice => "账单",
        Word::Issued => "签发时间",
        Word::Issuer => "签发方",
        Word::Job => "作业",
        Word::Jobs => "作业数",
        Word::JobsBefore => "前面的作业数",
        Word::Kind => "种类",
        Word::Label => "用途",
        Word::LastRun => "最近时间",
        Word::Layer => "层",
        Word::Lines => "行数",
        Word::LongestWait => "最长等待（秒）",
        Word::Mean => "平均",
        Word::MeanSlowdown => "平均有界减速比",
        Word::MeanWait => "平均等待（秒）",
        Word::Measured => "实测",
        Word::Memory => "内存",
        Word::Message => "说明",
        Word::Method => "方法",
        Word::Minimum => "最短计费",
        Word::Spot => "可抢占",
        Word::Name => "名称",
        Word::NewestHash => "最新哈希",
        Word::Node => "节点",
        Word::Nodes => "节点数",
        Word::Nominal => "标称",
        Word::Note => "备注",
        Word::Offer => "挂牌",
        Word::OneWay => "单程",
        Word::Order => "次序",
        Word::Org => "机构",
        Word::OrgHad => "机构已用",
        Word::OrgShare => "机构应得",
        Word::OrgWeight => "机构权重",
        Word::Overlap => "重叠时",
        Word::Owner => "所有者",
        Word::P99Wait => "等待 P99（秒）",
        Word::PerDay => "每日限额",
        Word::PerJob => "单作业限额",
        Word::PerMonth => "每月限额",
        Word::Period => "账期",
        Word::Pool => "资源池",
        Word::Pools => "资源池数",
        Word::Price => "价格",
        Word::Project => "项目",
        Word::Proven => "最近验证",
        Word::StandardUnits => "每小时折合",
        Word::Provider => "供给方",
        Word::Quote => "报价",
        Word::Reason => "原因",
        Word::Results => "结果",
        Word::Refused => "不承接",
        Word::ReplayEqual => "重放一致",
        Word::Registry => "镜像仓库",
        Word::ResourceName => "算力标识",
        Word::Rhythm => "周期",
        Word::Role => "角色",
        Word::Rows => "行数",
        Word::Schedule => "定时计划",
        Word::Seconds => "秒",
        Word::Seed => "种子",
        Word::Seen => "所见",
        Word::Share => "应得份额",
        Word::Since => "自",
        Word::Site => "站点",
        Word::Spent => "已花费",
        Word::Standing => "状况",
        Word::StartP50 => "开始P50",
        Word::StartP90 => "开始P90",
        Word::Started => "开始",
        Word::State => "状态",
        Word::Status => "状态",
        Word::Subject => "对象",
        Word::Submitted => "提交时间",
        Word::Task => "任务",
        Word::Tasks => "任务",
        Word::TasksNow => "现可开始",
        Word::TasksWaiting => "等待的任务数",
        Word::ThisMonth => "本月",
        Word::To => "到",
        Word::Today => "今日",
        Word::ToMakeUp => "待补运行",
        Word::Took => "用时",
        Word::Total => "合计",
        Word::Transfer => "传输",
        Word::Transfers => "转账数",
        Word::Unit => "单位",
        Word::Up => "在线",
        Word::User => "用户",
        Word::Utilisation => "利用率",
        Word::Weight => "权重",
        Word::Workflow => "工作流",
        Word::ByHour => "分时",
        Word::WasExpected => "当初预计",
        Word::StartBy => "若要按期",
        Word::Lifted => "须在 {at} 前开始，因此排到同级作业之前",
        Word::NotLifted => "须在 {at} 前开始，不因此提前",
        Word::TooLate => "本须在 {at} 前开始：预计无法按期，不因此提前",
        Word::SoftDeadlinesMet => "软截止按期数",
        Word::EstimatesHeld => "预计准确率",
        Word::CpusHeld => "占用核数",
        Word::MemoryHeld => "占用内存",
        Word::CardsHeld => "占用加速卡",
        Word::Waited => "等待",
        Word::WhatToDo => "怎么办",
        // Parts of messages.
        Word::Error => "错误",
        Word::Help => "办法",
        Word::Request => "请求编号",
        Word::KindJob => "作业",
        Word::KindOrg => "机构",
        Word::KindFile => "文件",
        Word::KindPool => "资源池",
        Word::KindProject => "项目",
        Word::KindProvider => "供给方",
        Word::KindSchedule => "定时计划",
        Word::KindUser => "用户",
        Word::DeadlineMet => "按时",
        Word::PoolCloses => "{name} 关闭至 {until}；详情见 `dayan pool show {name}`",
        Word::PoolReopened => "{name} 不再关闭",
        Word::WouldBePromised => "若现在提交可承诺：最迟 {from} 开始，\n最迟 {until} 结束",
        Word::WouldCost => "按这些时段的价格，最多花费 {price}",
        Word::OrderedBy => "排序依据：{order}（* 由作业指定），先出现差异者决定",
        Word::PlanWarns => "注意：{message}",
        Word::PlanIsTheSame => "方案未变（其后日志新增 {rows} 行）",
        Word::PlanIsAnother => "方案已变（其后日志新增 {rows} 行）",
        Word::Was => "原为",
        Word::Now => "现为",
        Word::WouldEmit => "在这些时段约排放 {grams}",
        Word::DeadlineMissed => "误期",
        Word::Pinned => "已按指纹锁定",
        Word::ByAuthority => "由证书机构担保",
        Word::ThisMachine => "本机，无需 TLS",
        // What was done.
        Word::NothingHere => "没有可显示的内容。",
        Word::TwoPlaces => "时延是两地之间的：请至少指定两个地点。",
        Word::PricesAreYours => "以上是贵机构自己要付的价格：标价乘以其价格类别的比例。",
        Word::LoggedIn => "已登录 {exchange}，身份为 {org}/{name}（{role}）。",
        Word::RegistryKept => "{project} 访问 {registry} 时使用登录信息，保存在 {file}。",
        Word::RegistryOfNobody => {
            "还没有代理以 {folder} 加入交易所；请用 --data 指定该代理的目录。"
        }
        Word::RegistryRemoved => "{project} 访问 {registry} 时不再使用登录信息。",
        Word::JobEnded => "{job}：{state}，{spent} {currency}",
        Word::Cancelled => "已取消：{job}",
        Word::AlreadyEnded => "{job} 此前已结束（{state}）；没有可取消的内容。",
        Word::Retried => "将重新运行：{job}",
        Word::Paused => "已暂停：{job}",
        Word::Resumed => "继续运行：{job}",
        Word::ScheduleCancelled => "已结束：{id}。它已产生的作业继续运行；请用各自的编号取消。",
        Word::SchedulePaused => "已暂停：{id}。其间到期的运行将被略过。",
        Word::ScheduleResumed => "从下次时间起恢复运行：{id}",
        Word::WillRun => "定时计划：下次时间为 {next}。用 `dayan show {id}` 查看各次运行。",
        Word::Retired => "已下架：{what}",
        Word::NowIs => "{name} 的状态现为：{state}。",
        Word::Challenged => "已要求 {name} 证明其资源清单；用 `dayan pool show` 查看结果。",
        Word::Invited => {
            "此令牌可供一个代理使用，有效至 {until}。在供给方机器上运行：dayan agent --url {url} --engine process --site CITY --join TOKEN"
        }
        Word::Deposited => "已为 {org} 入账 {amount}。",
        Word::DepositedBefore => "未为 {org} 入账：付款 `{reference}` 此前已入账。",
        Word::TokenIssued => "{id} 的密钥，仅显示这一次：",
        Word::Revoked => "已撤销：{id}",
        Word::RoleSet => "{user} 的角色现为 {role}。",
        Word::UserRemoved => "已删除 {user}，其令牌均已失效。",
        Word::CarbonSet => "{name}：已知 {hours} 小时的碳强度。",
        Word::CarbonRemoved => "{name}：重新按更大范围的数据或年平均值计。",
        Word::PueSet => "{name}：机器每用一份电，机房共用 {pue} 份。",
        Word::LicenseSet => "许可证 {name} 共有 {count} 份。",
        Word::LicenseRemoved => "不再计 {name}。",
        Word::InUse => "使用中",
        Word::QuotaSet => "{name} 最多可同时占用（核 / 内存 / 加速卡）：{quota}。",
        Word::PriorityMostSet => "{org} 的作业今后优先级最高为 {most}。",
        Word::WeightSet => "{name} 的权重现为 {weight}。",
        Word::BudgetSet => "{project} 的限额已设定。",
        Word::BackedUp => "已写入服务器的 {dir}。",
        Word::Restored => {
            "{dir} 已恢复到日志第 {seq} 行。请把账本之外的文件也放入其中：exchange.key（若证书由其自制，还有 server.key 与 server.crt）；若有项目在此存放文件或密钥，还有 store/ 与 secrets.key。再运行 `dayan serve --data {dir}`。"
        }
        Word::ServingAt => {
            "交易所已在 {url} 应答；数据在 {data}。运营方首次登录：dayan login {url}{fingerprint} --token - < {token}"
        }
        Word::ServingAgain => "交易所已在 {url} 应答；数据在 {data}。",
        Word::NewKey => "已在 {path} 生成新密钥；此前签名的报价无法用它验证。",
        Word::JournalDamaged => {
            "此前各行完好，未作任何更改。请停下交易所，并恢复最新的备份：dayan restore BACKUP --data NEWDIR"
        }
        Word::Stopped => "已停止。",
        Word::AgentStarts => "代理为 {url} 工作；数据在 {data}。",
        Word::AgentRemembers => "沿用此前的选项：{options}。再次给出的选项会取代 {file} 中的值。",
        Word::AgentPool => "提供资源池 {pool}。",
        Word::AgentPartitionLeftOut => "分区 {partition} 未提供：{why}。",
        Word::AgentPartitionUnknown => {
            "没有名为 {partition} 的分区；有：{names}。不属于分区所允许的组（AllowGroups）时，Slurm 不显示该分区。请用 --slurm-partition 指定其中若干个，或不指定以提供全部可用分区"
        }
        Word::AgentOnePool => {
            "此文件夹属于单个分区的资源池；要提供多个分区，请用 --data 指定另一个文件夹，或用 --slurm-partition 只指定一个"
        }
        Word::AskingSlurm => "正在向 Slurm 询问其分区",
        Word::AgentStopped => "代理已停止；其任务由守护进程继续看管，直到租约结束。",
        Word::Measuring => "测量约需半分钟；本机上的其他工作会使数值偏低。",
        Word::MeasuringQuickly => "测量需几秒钟。",
        Word::DemoStarts => "本机上的交易所：{url}；一切都保存在 {dir}。",
        Word::DemoAgentsJoin => "三家供给方与四家用户已入场；供给方的代理正在加入。",
        Word::DemoPool => "  {site} 的 {pool} 提供 {cpus} 核。",
        Word::DemoWorkBegins => {
            "开始提交作业：天气预报、电影镜头、500 点参数扫描，以及每隔几秒一条轮胎。"
        }
        Word::DemoProgress => "  已结束：{line}",
        Word::DemoStays => {
            "交易所会一直运行，直到您中断它。四处看看：dayan login {url} --token - < {token}"
        }
        Word::DemoAgain => "再次打开：dayan serve --data {dir}",
        // What tables cannot say.
        Word::WhyItWaits => "等待原因：",
        Word::WouldHelp => "可行的办法：",
        Word::RelaxationOfPool => "另有 {pools} 个资源池仅因 `{key}` 不能承接（{example}）",
        Word::Relaxation => "改写 `{key}`：另有 {pools} 个资源池仅因此不能承接（{example}）",
        Word::WouldBeRefused => "现在提交会被拒绝（{code}）：",
        Word::WouldRun => "价格为单次运行的价格。若现在提交，接下来的运行时间为：",
        Word::MoreAttempts => "仅显示最近 {shown} 次尝试；全部内容见 `dayan show {job} -o json`。",
        Word::MoreLines => {
            "共 {all} 行，仅显示 {shown} 行；全部内容见 `dayan invoice get {id} --format json`。"
        }
        Word::NoCandidate => "没有资源池可承接此作业。",
        Word::NoPoolYet => {
            "还没有任何资源池加入本交易所。由管理员邀请供应方（dayan provider invite），其机器加入（dayan agent --join TOKEN），再给资源池标价（dayan offer create）。"
        }
        // In pictures.
        Word::PlotReplay => "{log}：{processors} 个处理器上的 {jobs} 个作业",
        Word::PlotFirstWindow => {
            "等待时间取全部 {windows} 个窗口；其余各图为第一个窗口，自第 {start} 个作业起"
        }
        Word::PlotBusiestDays => "逐个作业的图：记录较长时取等待工作最多的两天",
        Word::PlotNothing => "没有可画的数据",
        Word::PlotUse => "机器利用率",
        Word::PlotWaits => "等待时间：等待不超过该时间的作业",
        Word::PlotJobs => "各作业何时运行",
        Word::PlotTime => "自首次提交起的时间",
        Word::PlotUsed => "在用处理器",
        Word::PlotWait => "等待时间",
        Word::PlotShareOfJobs => "占全部作业",
        Word::PlotProcessors => "处理器",
        Word::PlotWaited => "等待 {time}",
        Word::PlotPacking => "任务陆续到达时的在用加速卡：{pods}",
        Word::PlotSeeds => "{seeds} 种到达次序的平均",
        Word::PlotFromEmpty => "自空集群起",
        Word::PlotAtTheEnd => "加速卡将尽时",
        Word::PlotArrived => "已请求的加速卡，占全部加速卡",
        Word::PlotShifting => "{file}：{jobs} 个可以等待的作业",
        Word::PlotSeed => "随机数种子 {seed}",
        Word::PlotJobsByHour => "一天中同时运行的作业数",
        Word::PlotGrid => "一天中电网的碳强度",
        Word::PlotAgainstDelay => "各作业节省的碳与其推迟的时间",
        Word::PlotHourOfDay => "一天中的小时",
        Word::PlotJobsAtOnce => "同时运行的作业",
        Word::PlotGrams => "每千瓦时 CO2（克）",
        Word::PlotDelay => "结束推迟（小时）",
        Word::PlotShifted => "移动后",
        Word::PlotUnshifted => "不移动",
        Word::PlotMarket => {
            "{scenario}：{consumers} 个需求方的 {jobs} 个作业，{providers} 个供给方，{days} 天"
        }
        Word::PlotMarketUse => "随时间变化的利用率",
        Word::PlotCostAgainstWait => "费用与等待：按放置者",
        Word::PlotTasksAt => "各任务何时运行：{pool}，{all} 台机器中的 {shown} 台",
        Word::PlotSinceStart => "自开始起的时间",
        Word::PlotCoresAtWork => "在用核，占全部核",
        Word::PlotMeanWait => "作业的平均等待时间",
        Word::PlotOverBound => "超出最低可能费用",
        Word::PlotCards => "加速卡",
        Word::PlotCores => "核",
        Word::PlotAtWork => "在用加速卡，占全部加速卡",
        // Wrong calls.
        Word::NoAddress => {
            "不知道交易所在哪里；请运行 `dayan login URL --token T`，或设置 DAYAN_URL 与 DAYAN_TOKEN"
        }
        Word::NoToken => {
            "需要令牌：用 `--token T`，或用 `--token -` 从标准输入读取，或设置 DAYAN_TOKEN"
        }
        Word::NoPassword => "密码从标准输入读取，但未读到内容",
        Word::RegistryUnknown => {
            "没有为 {registry} 与 {project} 保存登录信息；见 `dayan agent registry ls`"
        }
        Word::NoHome => "没有存放配置的位置；请设置 HOME 或 XDG_CONFIG_HOME",
        Word::BadUrl => "`{url}` 不是交易所的地址；地址形如 https://exchange.example:8443",
        Word::BadFingerprint => "指纹是 64 位十六进制数，即服务器证书的 SHA-256",
        Word::BadConfig => "无法理解 {file}（{why}）；请改正，或重新运行 `dayan login`",
        Word::BadJob => "`{text}` 不是作业；请写成 JOB、JOB/TASK 或 JOB/TASK.ATTEMPT",
        Word::NoAttemptHere => "`{text}` 指的是一次尝试；请指明作业或任务",
        Word::NoTaskHere => "`{text}` 指的是一个任务；此操作针对整个作业",
        Word::NoEndToWaitFor => "文件含有 `schedule`：没有可等待的结束；请不带 --wait 提交",
        Word::NoRetryOfSchedule => "{id} 是定时计划；请重试其某次运行的作业",
        Word::NewestOf => "有 {count} 个作业名为 `{name}`；这是最新的一个：{job}。",
        Word::Hopeless => {
            "目前没有资源池能接收它，作业将等待：{reasons}。详见 `dayan explain {job}`。"
        }
        Word::SeeWhy => "查看原因：dayan show {job}，以及 dayan logs {job}/TASK --stderr。",
        Word::AmbiguousJob => "有多个作业名为 `{name}`；请使用编号：{ids}",
        Word::Ambiguous => "有多个{kind}名为 `{name}`；请使用编号：{ids}",
        Word::Unknown => "没有您可见的{kind} `{name}`",
        Word::CannotRead => "无法读取 {file}：{why}",
        Word::ScriptNotRead => {
            "{file} 是没有 `#SBATCH` 或 `#DAYAN` 行的脚本；请加上，或命名为 `job.sbatch` 这样的文件"
        }
        Word::LogGap => "输出从第 {from} 字节起有 {size} 未保留",
        Word::NotStartedYet => "{job} 尚未启动；启动后显示其输出",
        Word::WithoutEffect => "{file} 第 {line} 行：`{option}` 不起作用：{why}",
        Word::NoPictureThere => "{file} 已存在且不是图片；请换一个文件名，或先删除它",
        Word::LinesLeftOut => "{read} 行中有 {used} 行可作为作业：{why}",
        Word::LeftOut => "已略去 `{option}`，因为没有资源池允许作业使用它：{why}",
        Word::NoFileInPlan => "{file} 不含其作业文件；请重新保存方案",
        Word::NoJobFile => "请指定作业文件",
        Word::NoSavedPlan => "{file} 不是用 `dayan plan FILE -o json` 保存的方案：{why}",
        Word::NoDataHome => "没有存放数据的位置；请用 `--data DIR` 指定",
        Word::NoDataFolder => "{dir} 不是文件夹",
        Word::DemoFolderTaken => {
            "{dir} 不是空的；请指定新文件夹，或用 `dayan serve` 打开其中的交易所"
        }
        Word::DemoPrograms => {
            "{dir} 中没有作业所需的程序（{missing}）；`make demo` 会构建它们，或运行 `cargo build --release -p dayan-examples`"
        }
        Word::MarketBroken => "市场中出现了不应有的情况：这是程序的缺陷，不是场景的问题",
        Word::PackedOver => "某节点被分配超过其所有：这是策略的缺陷，与列表无关",
        Word::ShiftedWrong => "这次运行违反了规则：这是策略的缺陷，与序列无关",
        Word::PricesNeeded => "`--prefer price` 按价格选择：请用 `--prices` 给出价格",
        Word::SeriesMade => {
            "{file}：短缺口中的 {filled} 个半小时按两端连线补齐，{doubled} 行重复时刻取平均，{empty} 行没有数值"
        }
        Word::JobListMade => {
            "{file}：{rows} 个作业中有 {rounded} 个取整到半小时（开始向下，时长向上）；略去 {empty} 个时长为零的和 {beyond} 个在序列之后结束的；整体推迟 {days} 天"
        }
        Word::PartYear => "{file} 不含完整的一年；重放自 {from} 起的 {days} 天",
        Word::NoRoomAtOnce => "{why}；请用 `--capacity` 允许更多作业同时运行，或减少 `--jobs`",
        Word::ListUnused => "未使用 `{option}`：场景中没有任何工作写有 `{key} = true`",
        Word::UnpaidJobs => "未付款",
        Word::NothingPlaced => {
            "{nodes} 中没有节点能容纳 {pods} 中需要加速卡的任务：无法放置，也没有上界"
        }
        Word::PricesEnd => "{file} 未覆盖碳序列的全部时间",
        Word::EasyPlusPlusFills => {
            "easy++ 自带回填方式，按事件推进；请不要指定 `--backfill` 和 `--discipline`"
        }
        Word::HarnessBackfill => {
            "该框架没有保守回填：请用 --backfill none 或 easy，或 --discipline event"
        }
        // What the world did.
        Word::Unreachable => "{url} 没有应答：{why}",
        Word::UnreachableHelp => "请检查地址与网络；`dayan doctor` 会逐项检查",
        Word::NoAnswerInTime => "未在规定时间内应答",
        Word::NotAnExchange => "{url} 的应答不像交易所：{why}",
        Word::SubmitAgain => "尚不知作业是否已送达。加上此选项重新发送不会重复提交：--key {key}",
        Word::UnexpectedCertificate => {
            "服务器出示的证书指纹为 {seen}；若确认无误，请用 `--fingerprint {seen}` 重新登录"
        }
        Word::SpeaksPlain => "此地址使用明文 HTTP：请把 https:// 换成 http://",
        Word::SpeaksTls => "此地址使用 TLS：请把 http:// 换成 https://",
        Word::UnknownAuthority => {
            "没有机构为此服务器担保；请向运营方索取指纹，再运行 `dayan login URL --fingerprint HEX`"
        }
        Word::ExecTalking => "与命令通信",
        Word::PreparingTls => "准备 TLS",
        Word::ReadingFile => "读取 {file}",
        Word::WritingFile => "写入 {file}",
        Word::WritingOutput => "写入标准输出",
        Word::StartingUp => "启动",
        Word::Serving => "交易所已终止",
        Word::DemoTooSlow => "演示未能在 {s} 秒内结束；已有的内容保留",
        Word::DemoAgentFailed => "{pool} 的代理无法工作；见 {log}",
        Word::DemoJobFile => "演示的作业文件",
        // Doctor.
        // Data and secrets.
        Word::By => "由",
        Word::Sha256 => "sha256",
        Word::Size => "大小",
        Word::BadDataAddress => {
            "`{text}` 不是数据存储中的地址；请写成 dayan://studio-a/film-3/scenes/a.blend（多级项目以双斜线结束）"
        }
        Word::DataDamaged => "{address} 到达时已损坏；请重新取回",
        Word::DataGot => "已取回 {files} 个文件，共 {bytes}。",
        Word::DataKept => "{project} 存有 {files} 个文件，{bytes}，上限 {most}。",
        Word::DataRemoved => "已删除 {files} 个文件。",
        Word::DataSent => "{address} 中有 {files} 个文件；发送了 {sent}，其余已在那里。",
        Word::LeftOutAway => "未包含 {path}：它指向该文件夹之外；请把所指内容复制到文件夹内",
        Word::LeftOutBack => "未包含 {path}：它指回其所在的文件夹",
        Word::LeftOutNoBytes => "未包含 {path}：它既不是文件也不是文件夹",
        Word::LeftOutNowhere => "未包含 {path}：它所指内容无法读取",
        Word::SecretRemoved => "{project} 不再有密钥 `{name}`。",
        Word::SecretSet => "已设置 {project} 的密钥 `{name}`。",
        Word::Uploaded => "{from} 随作业以 {to} 上传",
        Word::Copied => "已复制",
        Word::DoctorLogin => "请运行 `dayan login URL --token T`",
        Word::DoctorReach => "请检查地址、网络，以及那里是否运行着 `dayan serve`",
        Word::DoctorToken => "请向运营方索取新令牌，再运行 `dayan login`",
        Word::DoctorTls => "令牌在网络上以明文传送；请改用 https",
        Word::DoctorNoDate => "服务器的应答没有日期；可能被中间的代理去掉了",
        Word::DoctorClock => "请用 NTP 校准两台机器的时钟",
        Word::DoctorDisk => "请腾出空间，或改用其他磁盘上的文件夹",
        Word::DoctorFiles => "任务很多的交易所或代理需要更高上限：`ulimit -n 65536`",
        Word::DoctorCgroups => {
            "没有控制组时代理只能自行监视内存；请让它使用带 cpu、memory、pids 的 cgroup v2"
        }
    }
}
