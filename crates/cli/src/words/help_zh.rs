//! The help texts in Chinese, by command and argument: `submit` and `submit:file`.
//!
//! Invariant (by test): every command and argument that help shows has a text here, and no text is
//! left over.

use clap::{Arg, Command};

use super::Lang;

/// What `--help` and `--version` are called, which clap adds to every command by itself.
const HELP: &str = "显示帮助";
const VERSION: &str = "显示版本";

/// The frame of a help text, with the headings that clap would write in English.
const TEMPLATE: &str = "{before-help}{about-with-newline}\n用法：{usage}\n\n{all-args}{after-help}";

/// The command line with its help in a language.
pub fn localised(command: Command, lang: Lang) -> Command {
    match lang {
        Lang::En => command,
        Lang::Zh => {
            let about = text("dayan").unwrap_or_default();
            walk(command, "").about(about).long_about(None::<&str>).after_help(EXIT_CODES)
        }
    }
}

fn walk(command: Command, path: &str) -> Command {
    let root = path.is_empty();
    let own = if root { "dayan" } else { path };
    let mut command = command
        .help_template(TEMPLATE)
        .subcommand_help_heading("命令")
        .mut_args(|arg| argument(arg, own))
        .mut_subcommands(|sub| {
            let name = sub.get_name().to_owned();
            let path = if root { name } else { format!("{path} {name}") };
            let about = text(&path);
            let sub = walk(sub, &path);
            match about {
                Some(about) => sub.about(about).long_about(None::<&str>),
                None => sub,
            }
        });
    if path == "exit-codes" {
        command = command.long_about(EXIT_CODES);
    }
    let flag = |name: &'static str, short, help| {
        let arg = Arg::new(name).long(name).short(short).help(help).help_heading("选项");
        if name == "help" {
            arg.action(clap::ArgAction::Help)
        } else {
            arg.action(clap::ArgAction::Version)
        }
    };
    command = command.disable_help_flag(true).arg(flag("help", 'h', HELP));
    if root {
        command = command.disable_version_flag(true).arg(flag("version", 'V', VERSION));
    }
    command
}

fn argument(arg: Arg, path: &str) -> Arg {
    let key = format!("{path}:{}", arg.get_id());
    let heading = match (arg.is_global_set(), arg.is_positional()) {
        (true, _) => "通用选项",
        (false, true) => "参数",
        (false, false) => "选项",
    };
    let arg = arg.help_heading(heading);
    match text(&key) {
        Some(help) => arg.help(help).long_help(None::<&str>),
        None => arg,
    }
}

fn text(key: &str) -> Option<&'static str> {
    TEXTS.iter().find(|(known, _)| *known == key).map(|(_, text)| *text)
}

/// What the exit codes mean.
pub const EXIT_CODES: &str = "\
退出码：
  0  完成；用 --wait 时：作业成功
  1  已完成但结果不好：用 --wait 时作业失败或被取消、账不平、检查不通过；或本机出了问题
  2  命令行、配置或作业文件有误；未向交易所发出请求
  3  没有应答，或交易所暂时无法应答；稍后再试可能有用
  4  交易所拒绝；信息中有固定的代码，并说明怎么办";

const TEXTS: &[(&str, &str)] = &[
    ("dayan", "开放的算力交易所：提交作业文件，得到确定的价格与可核对的账单"),
    ("dayan:output", "标准输出的形式；不指定则为 `table`"),
    ("dayan:lang", "信息的语言；不指定则用系统语言"),
    ("submit", "提交作业"),
    ("submit:file", "作业文件，或含 `#SBATCH` 行的脚本；`-` 读取标准输入"),
    ("submit:quote", "按此确定报价运行，来自 `dayan quote`"),
    ("submit:key", "本次提交的名字：同一个键无论发送多少次都只提交一次"),
    ("submit:wait", "等到作业结束；退出码说明结果"),
    ("plan", "显示作业可以去哪里：价格、开始时间、数据传输、时延，以及其他资源池不承接的原因"),
    ("plan:file", "作业文件；`-` 读取标准输入"),
    (
        "plan:replay",
        "按已保存方案的作业文件重新询问，说明方案是否仍然如此：相同以 0 结束，不同以 1 结束；`-` 读取标准输入",
    ),
    ("plan:diff", "只显示与 `dayan plan FILE -o json` 所保存的方案相比的变化；`-` 读取标准输入"),
    ("quote", "索取有期限、已签名的确定报价"),
    ("quote:file", "作业文件；`-` 读取标准输入"),
    ("ps", "列出作业，最新的在前"),
    ("ps:project", "只列此项目的"),
    ("ps:state", "只列此状态的"),
    ("ps:name", "只列此名称的"),
    ("ps:schedules", "列出定时计划而非作业"),
    ("ps:limit", "最多列出多少个"),
    ("show", "显示作业：任务、费用、每次尝试在哪里运行、为何等待；或显示定时计划"),
    ("show:job", "作业编号；名称唯一时也可用名称"),
    ("explain", "说明作业为何等待、预计何时开始、怎样会有帮助"),
    ("explain:job", "作业编号；名称唯一时也可用名称"),
    ("exec", "在正在运行的任务旁运行一条命令"),
    ("exec:job", "JOB 或 JOB/TASK；不指定任务则为第一个"),
    ("exec:no_terminal", "即使这里是终端，也不为命令分配终端"),
    ("exec:command", "要运行的程序及其参数"),
    ("logs", "输出任务写下的内容"),
    ("logs:job", "JOB、JOB/TASK 或 JOB/TASK.ATTEMPT；不指定则为第一个任务的最近一次尝试"),
    ("logs:follow", "持续输出直到任务结束"),
    ("logs:stderr", "输出任务的标准错误而非标准输出"),
    ("logs:steps", "输出分步作业各步骤的结束情况及其输出的开头部分"),
    ("cancel", "取消作业或其中一个任务，或结束定时计划"),
    ("cancel:job", "JOB 或 JOB/TASK；作业编号，名称唯一时也可用名称"),
    ("retry", "重新运行失败或被取消的部分"),
    ("retry:job", "JOB 或 JOB/TASK；作业编号，名称唯一时也可用名称"),
    ("pause", "不再启动作业或定时计划的新任务；已在运行的继续"),
    ("pause:job", "作业编号；名称唯一时也可用名称"),
    ("resume", "继续已暂停的作业或定时计划"),
    ("resume:job", "作业编号；名称唯一时也可用名称"),
    ("offers", "按您的价格列出挂牌"),
    ("offers:filter", "只列资源池、供给方、站点或加速卡含此文字的"),
    ("pools", "列出资源池"),
    ("resolve", "解析算力标识"),
    ("resolve:name", "标识"),
    ("net", "地点之间的时延"),
    ("net matrix", "地点之间的单程时延及其依据"),
    ("net matrix:places", "城市；不指定则为所有有资源池的城市"),
    ("data", "项目在交易所数据存储中的文件"),
    ("data put", "存入文件，或文件夹及其全部内容；已有的不再发送"),
    ("data put:from", "文件或文件夹"),
    ("data put:to", "dayan://ORG/PROJECT/PATH；以斜线结尾则放在其下"),
    ("data ls", "列出文件及其大小与校验和"),
    ("data ls:address", "dayan://ORG/PROJECT/、名称的开头，或匹配式"),
    ("data get", "取回文件、文件夹或匹配式所指的文件；中断后从断点继续"),
    ("data get:address", "dayan://ORG/PROJECT/PATH"),
    ("data get:to", "放到哪里；不指定则为当前文件夹，`-` 为标准输出"),
    ("data rm", "删除文件、文件夹下的全部，或匹配式所指的文件"),
    ("data rm:address", "dayan://ORG/PROJECT/PATH"),
    ("secret", "项目的密钥"),
    ("secret set", "把密钥设为标准输入的内容；末尾的换行不计"),
    ("secret set:project", "机构/项目"),
    ("secret set:name", "作业文件中的名称"),
    ("secret ls", "按名称列出密钥；其内容不显示给任何人"),
    ("secret ls:project", "机构/项目"),
    ("secret rm", "删除密钥"),
    ("secret rm:project", "机构/项目"),
    ("secret rm:name", "其名称"),
    ("usage", "按月显示用量与金额"),
    ("usage:by", "按什么汇总"),
    ("usage:period", "月份，如 2026-11；不指定则为全部月份"),
    ("invoice", "账单"),
    ("invoice ls", "列出账单"),
    ("invoice get", "显示一份账单"),
    ("invoice get:id", "账单编号"),
    ("invoice get:format", "以此格式输出文件：FOCUS（CSV）、JSON，或供浏览器查看的 HTML"),
    ("carbon", "各资源池用电的碳强度，供偏好清洁时段的作业使用"),
    ("carbon ls", "列出各资源池已知的碳强度：当前一小时，以及未来一天最清洁的一小时"),
    ("carbon set", "按小时给出碳强度：运营方给出地区的，供给方给出自己资源池的"),
    ("carbon set:region", "省份、枢纽或集群"),
    ("carbon set:pool", "资源池的编号、名称、供给方/名称，或算力标识"),
    (
        "carbon set:file",
        "逐时数据：如 `Time,Carbon Intensity` 的表格，或碳数据服务返回的 JSON，压缩与否均可；`-` 为标准输入",
    ),
    ("carbon rm", "此前给出的地区或资源池的碳强度不再有效"),
    ("carbon rm:region", "省份、枢纽或集群"),
    ("carbon rm:pool", "资源池的编号、名称、供给方/名称，或算力标识"),
    ("carbon pue", "给出资源池机房的电能利用效率：机器每用一份电，机房共用多少份"),
    ("carbon pue:pool", "资源池的编号、名称、供给方/名称，或算力标识"),
    ("carbon pue:pue", "例如 1.25"),
    ("license", "许可证：任务运行时占用"),
    ("license ls", "列出作业可以要求的许可证及使用中的份数"),
    ("license set", "设定某许可证共有多少份；仅运营方"),
    ("license set:name", "名称；ORG/NAME 为某机构自有"),
    ("license set:count", "同时最多可有多少任务占用"),
    ("license rm", "不再计某许可证：谁也得不到；仅运营方"),
    ("license rm:name", "名称"),
    ("quota", "配额：项目和机构最多可同时占用多少、现占用多少"),
    ("quota ls", "列出所有配额及当前占用"),
    ("quota set", "设定项目或机构可同时占用的上限；未写的不限"),
    ("quota set:accelerators", "加速卡数，不分型号；可为小数"),
    ("quota set:cpus", "核数"),
    ("quota set:memory", "内存，例如 512GB"),
    ("quota set:name", "ORG/PROJECT，或机构 ORG（仅运营方）"),
    ("share", "项目与机构的份额：同等条件下谁先谁后"),
    ("share ls", "列出作业尚未结束的项目：各自近来所用与应得的份额"),
    ("share set", "更改项目或机构的权重"),
    ("share set:name", "机构/项目，或机构的简称；机构的权重由运营方更改"),
    ("share set:weight", "占全部权重之和的多少，即应得多少；未设定时为 1"),
    ("budget", "项目支出的限额"),
    ("budget ls", "列出项目、限额与已用金额"),
    ("budget set", "修改项目的限额；未指定的保持不变"),
    ("budget set:project", "机构/项目"),
    ("budget set:per_job", "每个作业的限额，或 `none`"),
    ("budget set:per_day", "每日限额，或 `none`"),
    ("budget set:per_month", "每月限额，或 `none`"),
    ("budget set:warn", "达到限额的这些百分比时提醒：80,95"),
    ("org", "机构"),
    ("org create", "添加机构"),
    ("org create:name", "简称"),
    ("org create:class", "适用哪一类价格"),
    ("org create:credit", "余额最多可以低于零多少"),
    ("org ls", "列出机构"),
    ("org deposit", "登记到账的款项"),
    ("org deposit:org", "机构的简称或编号"),
    ("org deposit:amount", "金额，如 `500.00 CNY`"),
    ("org deposit:reference", "银行流水号；同一流水号只入账一次"),
    ("org priority", "规定其作业优先级最高为何；未规定时为 `high`"),
    ("org priority:org", "机构的简称或编号"),
    ("org priority:most", "最高的优先级"),
    ("user", "用户"),
    ("user create", "为机构添加用户"),
    ("user create:name", "用户名"),
    ("user create:org", "机构的简称或编号"),
    ("user create:role", "可以做什么；只读用户不能作任何更改"),
    ("user role", "更改用户的角色，立即生效"),
    ("user role:user", "用户：编号、名称或 机构/名称"),
    ("user role:role", "可以做什么"),
    ("user rm", "删除用户并终止其令牌；其提交的作业保留"),
    ("user rm:user", "用户：编号、名称或 机构/名称"),
    ("user ls", "列出用户"),
    ("user ls:org", "只列此机构的"),
    ("token", "访问令牌"),
    ("token issue", "签发令牌，并显示其密钥（仅此一次）"),
    ("token issue:user", "用户编号、用户名，或 机构/用户名"),
    ("token issue:label", "用途"),
    ("token issue:expires", "多久后失效"),
    ("token ls", "列出令牌，不含密钥"),
    ("token revoke", "撤销令牌"),
    ("token revoke:id", "令牌编号"),
    ("project", "项目"),
    ("project create", "添加项目"),
    ("project create:path", "机构/项目"),
    ("project create:per_job", "每个作业的限额，或 `none`"),
    ("project create:per_day", "每日限额，或 `none`"),
    ("project create:per_month", "每月限额，或 `none`"),
    ("project create:warn", "达到限额的这些百分比时提醒：80,95"),
    ("project ls", "列出项目"),
    ("provider", "算力供给方"),
    ("provider apply", "为机构申请成为供给方"),
    ("provider apply:name", "供给方的简称"),
    ("provider apply:org", "机构的简称或编号"),
    ("provider apply:credit_code", "统一社会信用代码"),
    ("provider ls", "列出供给方"),
    ("provider verify", "确认供给方的身份属实"),
    ("provider verify:provider", "供给方的简称或编号"),
    ("provider activate", "允许供给方出售算力"),
    ("provider activate:provider", "供给方的简称或编号"),
    ("provider suspend", "不再给供给方新的任务"),
    ("provider suspend:provider", "供给方的简称或编号"),
    ("provider retire", "使供给方永久退出"),
    ("provider retire:provider", "供给方的简称或编号"),
    ("provider invite", "为供给方的代理制作一次性加入令牌"),
    ("provider invite:provider", "供给方的简称或编号"),
    ("provider invite:expires", "令牌多久后失效"),
    ("pool", "供给方的资源池"),
    ("pool ls", "列出资源池"),
    ("pool show", "显示资源池的机器与实测数据"),
    ("pool show:pool", "资源池的编号、名称、供给方/名称，或算力标识"),
    ("pool verify", "确认资源池属实"),
    ("pool verify:pool", "资源池的编号、名称、供给方/名称，或算力标识"),
    ("pool activate", "允许资源池承接任务"),
    ("pool activate:pool", "资源池的编号、名称、供给方/名称，或算力标识"),
    ("pool suspend", "不再给资源池新的任务"),
    ("pool suspend:pool", "资源池的编号、名称、供给方/名称，或算力标识"),
    ("pool retire", "使资源池永久退出"),
    ("pool retire:pool", "资源池的编号、名称、供给方/名称，或算力标识"),
    ("pool close", "使资源池或其部分机器关闭一段时间：届时可能仍在运行的任务不会启动"),
    ("pool close:pool", "资源池的编号、名称、供给方/名称，或算力标识"),
    ("pool close:from", "从何时起，如 2026-12-01T08:00:00+08:00；不写则从现在起"),
    ("pool close:until", "到何时止"),
    ("pool close:nodes", "只关闭这台机器；可多次给出"),
    ("pool reopen", "撤销所有尚未结束的关闭安排"),
    ("pool reopen:pool", "资源池的编号、名称、供给方/名称，或算力标识"),
    ("pool challenge", "要求资源池的代理立即证明其资源清单"),
    ("pool challenge:pool", "资源池的编号、名称、供给方/名称，或算力标识"),
    ("offer", "资源池的价格"),
    ("offer create", "为资源池的算力挂牌"),
    ("offer create:pool", "资源池的编号、名称，或 供给方/名称"),
    ("offer create:core_hour", "每核每小时"),
    ("offer create:gb_hour", "每 GB 内存每小时"),
    ("offer create:card_hour", "每张加速卡每小时"),
    ("offer create:accelerator", "加速卡型号"),
    ("offer create:hours", "一天各时段按价格的千分比计：22-6=700,9-12=1200"),
    ("offer create:minimum", "每次尝试的最短计费时间"),
    ("offer create:classes", "某类买方付价格的千分之几：internal=600"),
    ("offer create:spot", "也卖给可被收回的任务，付价格的千分之几：400"),
    ("offer create:expires", "多久后不再挂牌"),
    ("offer ls", "列出挂牌"),
    ("offer ls:filter", "只列资源池、供给方、站点或加速卡含此文字的"),
    ("offer retire", "下架；已在运行的继续"),
    ("offer retire:id", "挂牌编号"),
    ("ledger", "账簿"),
    ("ledger check", "由全部转账重新推导账簿并比较"),
    ("ledger check:data", "直接查看本机交易所的数据文件夹，而不向它询问"),
    ("ledger accounts", "列出账户"),
    ("audit", "日志"),
    ("audit verify", "检查日志的哈希链，以及重放是否得到同样的状态"),
    ("audit verify:data", "直接查看本机交易所的数据文件夹，而不向它询问"),
    ("audit findings", "列出代理所报的不可能之事"),
    ("backup", "让交易所写出一份数据副本"),
    ("backup:dir", "服务器上尚不存在的文件夹"),
    ("restore", "用备份填充空的数据文件夹或数据库"),
    ("restore:from", "`dayan backup` 所写的备份"),
    ("restore:data", "要填充的数据文件夹；密钥与证书是其中单独的文件"),
    ("restore:database_url", "改为填充此 PostgreSQL 数据库"),
    ("serve", "在本机运行交易所"),
    ("serve:data", "密钥、证书，以及未指定其他数据库时的内嵌数据库"),
    ("serve:database_url", "改用 PostgreSQL 保存状态：postgres://user@host/database"),
    ("serve:listen", "监听地址；除本机外默认使用 TLS"),
    ("serve:tls", "TLS：需要时、从不（在代理之后），或总是使用自制证书"),
    ("serve:tls_cert", "PEM 格式的证书链"),
    ("serve:tls_key", "PEM 格式的证书密钥"),
    ("serve:name", "新交易所的名称"),
    ("serve:logs_keep", "任务结束后日志保留多久"),
    ("serve:logs_max", "日志(压缩后)最多保留多少;超出时先删最旧的"),
    ("serve:usage_every", "运行中的尝试每隔多久上报用量"),
    ("serve:links", "地点之间实测的链路（JSON 文件）；优先于公布值和模型值"),
    (
        "serve:data_store",
        "项目的文件与密钥存放处；不指定则在数据文件夹中，使用 PostgreSQL 时则没有",
    ),
    ("serve:data_place", "项目文件所在的城市，用于估计输入数据传到各站点的时间，例如 Guiyang"),
    ("serve:data_per_project", "每个项目最多可存多少，例如 500GB；不指定则为 100GB"),
    ("serve:new_key", "交易所的密钥缺失时生成新密钥；此前签名的报价将无法验证"),
    ("serve:filter", "记录哪些日志，如 `info` 或 `dayan_server=debug`"),
    ("serve:log_json", "日志行用 JSON"),
    ("agent", "把本机提供给交易所，并运行分来的任务"),
    ("agent:url", "交易所的地址"),
    ("agent:join", "来自 `dayan provider invite` 的加入令牌；加入后不再需要"),
    (
        "agent:engine",
        "用什么运行任务，不指定则为进程；`podman` 与 `docker` 通过各自的套接字运行容器；`slurm` 把任务提交给本登录节点所属的集群；`kubernetes` 使任务成为集群中的 Pod；`simulated` 不执行任何程序，只用于试用交易所",
    ),
    ("agent:cache", "最多保留多少从远处取来的输入，供以后需要它的任务使用；不指定则为 50GB"),
    ("agent:private_data", "作业可否访问本站点内网的地址，例如站点的对象存储；不指定则为 `refuse`"),
    ("agent:site", "数据中心所在城市，加入时需要"),
    ("agent:pool", "资源池在站点的名称；不指定则用节点名"),
    ("agent:node", "本机在资源池中的名称；不指定则用主机名"),
    ("agent:cpus", "最多提供多少核"),
    (
        "agent:features",
        "节点具备的、作业可以要求的特性（`placement.features`）；体系结构与指令集会自行探明；可多次给出",
    ),
    (
        "agent:fabric",
        "各节点共用的高速网络在本站点的名称：成组任务可要求同在其中，同一站点中同名的资源池共用它",
    ),
    ("agent:leaf", "本机在其中的位置，由宽到窄，如 spine1/leaf3"),
    ("agent:memory", "最多提供多少内存，如 64GB"),
    (
        "agent:nodes",
        "把本机显示为多少个相同的节点，使成组任务可在一台机器上运行；模拟引擎则代表这么多节点，--cpus 与 --memory 为每个节点的数量",
    ),
    ("agent:data", "存放密钥、令牌、任务及其日志的地方"),
    (
        "agent:isolation",
        "用命名空间把任务与本机隔开；`best` 在 bubblewrap 可用时这样做，`none` 则不，不指定即为 `none`",
    ),
    ("agent:publish_root", "发布结果与取得输入的地方；不指定则资源池不传输数据"),
    ("agent:input_roots", "还可以从哪个文件夹取得输入"),
    (
        "agent:container_socket",
        "podman 与 docker 引擎：服务的套接字；不指定则依次为 CONTAINER_HOST（docker 不用）或 DOCKER_HOST 所指、podman 自己的、docker 的",
    ),
    (
        "agent:default_image",
        "podman 与 docker 引擎：未指定镜像的作业使用的镜像；不给出则不在此运行这类作业",
    ),
    ("agent:pull", "podman 与 docker 引擎：何时从仓库拉取镜像；不指定则为 `missing`（本地没有时）"),
    ("agent:container_network", "podman 与 docker 引擎：容器可见的网络；不指定则为 `none`（无）"),
    ("agent registry", "拉取各项目镜像时访问镜像仓库的登录信息"),
    ("agent registry add", "保存登录信息；密码从标准输入读取"),
    ("agent registry add:registry", "镜像仓库，如镜像名中所写：registry.example:5000"),
    ("agent registry add:user", "用户名"),
    ("agent registry add:project", "用于哪个项目或机构；不指定则用于全部"),
    ("agent registry add:data", "代理的文件夹"),
    ("agent registry ls", "列出登录信息，不含密码"),
    ("agent registry ls:data", "代理的文件夹"),
    ("agent registry rm", "删除登录信息"),
    ("agent registry rm:registry", "镜像仓库"),
    ("agent registry rm:project", "用于哪个项目或机构；不指定则为全部"),
    ("agent registry rm:data", "代理的文件夹"),
    (
        "agent:slurm_partition",
        "slurm 引擎：提供哪些分区，每个分区为一个资源池；不指定则为该用户可用的全部分区（`all`）",
    ),
    ("agent:slurm_account", "slurm 引擎：作业在站点记入哪个账户"),
    ("agent:slurm_qos", "slurm 引擎：作业要求的服务质量（QoS）"),
    ("agent:slurm_constraint", "slurm 引擎：作业要求的节点特性"),
    (
        "agent:slurm_gres",
        "slurm 引擎：作为加速卡提供的通用资源（GRES），如 gpu:a100 或 npu；不指定则为 gpu",
    ),
    (
        "agent:slurm_ahead",
        "slurm 引擎：在有任务结束之前，可在 Slurm 队列中排队的量，占集群核数的百分比；仅限短任务，不指定则为 100",
    ),
    (
        "agent:slurm_allow",
        "slurm 引擎：作业可在 backend.slurm 中自行指定的内容；可多次给出，不指定则均不允许",
    ),
    (
        "agent:slurm_rest",
        "slurm 引擎：slurmrestd 的地址，http://host:port 或 unix:///path；不指定则使用 Slurm 的命令",
    ),
    (
        "agent:slurm_token_file",
        "配合 --slurm-rest：出示给它的令牌所在的文件，由他人更新；不指定则向 scontrol token 索取",
    ),
    ("agent:slurm_extra", "slurm 引擎：sbatch 的其他选项，完整写出：--slurm-extra=--reservation=x"),
    (
        "agent:kubeconfig",
        "kubernetes 引擎：写明 API 服务器地址和身份的文件；不指定则与 kubectl 的查找方式相同，再则用代理自身 Pod 的服务账号",
    ),
    ("agent:kube_context", "kubernetes 引擎：使用 kubeconfig 中的哪个上下文"),
    (
        "agent:kube_namespace",
        "kubernetes 引擎：Pod 所在的命名空间，不指定则为 dayan；其中的 {org} 代表组织名",
    ),
    ("agent:kube_namespace_of", "kubernetes 引擎：为某个组织单独指定命名空间"),
    ("agent:kube_default_image", "kubernetes 引擎：未写明镜像的任务所用的镜像"),
    (
        "agent:kube_accelerator",
        "kubernetes 引擎：作为加速卡提供的资源，如 nvidia.com/gpu 或 huawei.com/Ascend910；不指定则为首个已知资源",
    ),
    ("agent:kube_service_account", "kubernetes 引擎：Pod 的服务账号；不向 Pod 提供其令牌"),
    ("agent:kube_priority_class", "kubernetes 引擎：Pod 的优先级类"),
    ("agent:kube_runtime_class", "kubernetes 引擎：Pod 的运行时类，如 gvisor"),
    ("agent:kube_scheduler", "kubernetes 引擎：由哪个调度器调度 Pod，如 volcano"),
    ("agent:kube_pull_secrets", "kubernetes 引擎：拉取镜像所用的 Secret"),
    ("agent:kube_node_selector", "kubernetes 引擎：节点必须具有的标签"),
    ("agent:kube_tolerations", "kubernetes 引擎：Pod 容忍的节点污点"),
    ("agent:kube_run_as", "kubernetes 引擎：任务以哪个用户和组运行；不指定则由镜像决定"),
    (
        "agent:kube_volume",
        "kubernetes 引擎：任务目录所在的卷，代理由此送入输入、取回输出：claim:NAME 为各节点和代理都挂载的 PersistentVolumeClaim，host:/PATH 为它们共享的目录",
    ),
    (
        "agent:kube_volume_at",
        "kubernetes 引擎：代理在何处看到该卷；对 host:/PATH 不指定则为同一路径",
    ),
    ("agent:measure", "加入后是否测量本机"),
    ("agent:filter", "记录哪些日志，如 `info` 或 `dayan_server=debug`"),
    ("agent:log_json", "日志行用 JSON"),
    ("demo", "在本机演示全部：交易所、代理、机构、真实作业与账单"),
    ("demo:exit_when_done", "最后一个作业结束即退出，不留下供查看"),
    ("demo:data", "保存一切（包括图片）的地方；不指定则在此新建文件夹"),
    ("demo:filter", "记录哪些日志，如 `info` 或 `dayan_server=debug`"),
    ("demo:log_json", "日志行用 JSON"),
    ("sim", "用运行交易所的同一份代码重放负载记录"),
    ("sim hpc", "重放真实机器的作业记录：某种次序下的等待、减速比与利用率"),
    ("sim hpc:log", "作业记录文件，标准负载格式（SWF），压缩与否均可；`-` 为标准输入"),
    ("sim hpc:processors", "机器的处理器数；用于记录中没有写明或写错的情况"),
    (
        "sim hpc:protocol",
        "如何读取记录：十个窗口（h1）、全部并把运行时间截到时限（h2）、全部并把时限提高到运行时间（cleaned）",
    ),
    ("sim hpc:policy", "次序：`default`、`easy++` 或某条规则"),
    ("sim hpc:backfill", "在还放不下的作业之前，哪些可以先开始"),
    ("sim hpc:discipline", "时间如何推进：按事件，或像 RLScheduler 的框架那样每次一个决定"),
    ("sim hpc:beside", "在同一次运行中一并比较的次序，以逗号分隔"),
    ("sim hpc:plot", "另画出利用率、等待时间与各作业何时运行（SVG）"),
    ("sim carbon", "为一年中可以等待的作业选择时段，并给出由此少排放多少"),
    (
        "sim carbon:series",
        "碳强度，每 5 至 60 分钟一行：如 `Time,Carbon Intensity` 的表格，或碳数据服务返回的 JSON，压缩与否均可；`-` 为标准输入，其他文件亦然",
    ),
    (
        "sim carbon:policy",
        "由谁选择时段：每有作业到来就对全部已知作业一并决定、各自单独决定，或已知全年；都不是在线交易所的规则；`default` 是第一种的别名",
    ),
    ("sim carbon:interruptible", "作业可以中断后再继续"),
    ("sim carbon:capacity", "同时最多运行多少个作业，或为不移动时峰值的百分之几"),
    ("sim carbon:noise", "预测误差的标准差，以均值为单位"),
    ("sim carbon:seeds", "随机数种子：一个数，或首尾两个数"),
    ("sim carbon:deadline", "在工作时间之外结束的作业何时必须完成：按已发布的程序，或按论文所述"),
    ("sim carbon:jobs", "一年的作业数；不指定则为 3387，较短的序列按天数折算"),
    (
        "sim carbon:job_list",
        "改用此列表中的作业：`Start,Hours`、以秒计的 `timestamp,duration` 或以小时计的 `arrival_time,length`；开始时间向下、时长向上取整到半小时",
    ),
    ("sim carbon:prices", "电价，每千瓦时：如 `Time,Price` 的序列，或一天中的时段 `From,To,Price`"),
    ("sim carbon:prefer", "先看什么；另一项只在相同时起作用"),
    ("sim market", "让一个区域的供需双方在整个交易所里运行数日，并与简单规则对照"),
    ("sim market:scenario", "场景文件（TOML、YAML 或 JSON）：谁出售、谁购买、运行什么、出什么故障"),
    (
        "sim market:jobs",
        "从中抽取运行时长的作业记录，含以小时计的 `length` 列或以秒计的 `duration` 列，压缩与否均可；`-` 为标准输入",
    ),
    (
        "sim market:pods",
        "从中抽取任务规格的列表：`name,cpu_milli,memory_mib,num_gpu,gpu_milli`；`-` 为标准输入",
    ),
    ("sim market:beside", "一并运行的规则，以逗号分隔，或 `all`"),
    ("sim market:seed", "随机数种子；不指定则用场景中的"),
    ("sim market:days", "作业到来的天数；不指定则用场景中的"),
    (
        "sim market:plot",
        "另画出在用加速卡、等待时间、费用与等待，以及一个资源池中各任务何时运行（SVG）",
    ),
    (
        "sim carbon:plot",
        "另画出一天中作业何时运行，以及各作业因推迟而节省的碳（SVG）；取第一个种子",
    ),
    ("sim carbon:per_kg", "不用 `--prefer`：每千克碳的价格，与电价相加"),
    ("sim pack", "把列表中的任务逐个放到集群的加速卡上；能放下的一个也不拒绝"),
    (
        "sim pack:nodes",
        "机器列表：`sn,cpu_milli,memory_mib,gpu,model`，压缩与否均可；`-` 为标准输入",
    ),
    (
        "sim pack:pods",
        "任务列表：`name,cpu_milli,memory_mib,num_gpu,gpu_milli`，可另有 `gpu_spec`；`-` 为标准输入",
    ),
    ("sim pack:policy", "由谁选择节点；`default` 即在线交易所的规划器"),
    ("sim pack:seeds", "到达次序：一个数，或首尾两个数"),
    ("sim pack:bound", "同时给出按此次序任何放置所能达到的上限"),
    ("sim pack:beside", "在同一次运行中一并比较的策略，以逗号分隔"),
    ("sim pack:plot", "另画出任务陆续到达时的在用加速卡（SVG）"),
    ("sim scale", "按种子生成整个国家的机器与任务，全部放置，并给出所用时间"),
    ("sim scale:nodes", "机器数，每一百台为一个资源池"),
    ("sim scale:tasks", "要放置的任务数，一半为一千个任务的数组"),
    ("sim scale:placed", "计时开始时已在运行的任务数"),
    ("sim scale:node_shapes", "机器的种类数"),
    ("sim scale:task_shapes", "任务的种类数"),
    ("sim scale:seed", "随机数种子"),
    ("measure", "测量本机：处理器、内存、磁盘、加速卡"),
    ("measure:quick", "只用几秒，足以看出名不副实的机器"),
    ("measure:data", "要测量的磁盘上的文件夹"),
    ("login", "试用交易所的地址与令牌，然后保存"),
    ("login:url", "交易所的地址，如 https://exchange.example:8443"),
    ("login:token", "令牌的密钥；`-` 从标准输入读取，不指定则用 DAYAN_TOKEN"),
    ("login:fingerprint", "服务器证书的 SHA-256（十六进制），用于没有机构担保的证书"),
    ("whoami", "显示令牌代表谁"),
    ("doctor", "检查本机、到交易所的网络与令牌，并说明怎么办"),
    ("doctor:data", "本机的交易所或代理存放数据的文件夹"),
    ("completions", "输出某种 shell 的补全脚本"),
    ("completions:shell", "哪种 shell"),
    ("version", "显示版本"),
    ("exit-codes", "退出码的含义"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;

    fn keys(command: &Command, path: &str, out: &mut BTreeSet<String>) {
        let own = if path.is_empty() { "dayan" } else { path };
        out.insert(own.to_owned());
        for arg in command.get_arguments() {
            out.insert(format!("{own}:{}", arg.get_id()));
        }
        for sub in command.get_subcommands() {
            let name = sub.get_name();
            let path = if path.is_empty() { name.to_owned() } else { format!("{path} {name}") };
            keys(sub, &path, out);
        }
    }

    #[test]
    fn every_help_text_has_its_chinese() {
        let mut wanted = BTreeSet::new();
        keys(&crate::args::Cli::command(), "", &mut wanted);
        let known: BTreeSet<String> = TEXTS.iter().map(|(key, _)| (*key).to_owned()).collect();
        let missing: Vec<_> = wanted.difference(&known).collect();
        let left_over: Vec<_> = known.difference(&wanted).collect();
        assert!(missing.is_empty() && left_over.is_empty(), "{missing:?} {left_over:?}");
        assert_eq!(known.len(), TEXTS.len(), "a key stands twice");
    }

    #[test]
    fn the_chinese_command_line_is_well_formed() {
        localised(crate::args::Cli::command(), Lang::Zh).debug_assert();
    }
}
