//! The parser's messages in Chinese. Words in braces are values of the error, as in English.

use dayan_spec::Code;

/// What is wrong.
pub const fn message(code: Code) -> &'static str {
    match code {
        Code::FileTooLarge => "作业文件有 {bytes} 字节；最多读取 {max} 字节",
        Code::Empty => "作业文件是空的",
        Code::YamlSyntax => "这不是格式正确的 YAML：{detail}",
        Code::YamlTab => "此行用制表符缩进",
        Code::YamlColon => "冒号加空格表示一个键，而这里不能有键",
        Code::YamlBracket => "括号没有闭合，或前面缺少逗号",
        Code::YamlQuote => "从这里开始的引号没有闭合",
        Code::NotAMap => "作业文件由键和值组成，每行一个",
        Code::JsonSyntax => "这不是格式正确的 JSON：{detail}",
        Code::TooDeep => "列表与键值嵌套超过 {max} 层",
        Code::TooManyValues => "键和值超过 {max} 个",
        Code::Anchor => "作业文件不读取锚点（`&`）与别名（`*`）",
        Code::Tag => "作业文件不读取类型标签（`!`）",
        Code::ManyDocuments => "这里开始了第二个文档；作业文件只有一个",
        Code::KeyNotText => "键必须是一个词",
        Code::DuplicateKey => "`{key}` 出现了两次，第一次在第 {first_line} 行",
        Code::BooleanKey => "旧的 YAML 工具会把键 `{key}` 读作真或假",
        Code::UnknownKey => "未知的键 `{key}`",
        Code::MissingKey => "缺少 `{key}`",
        Code::NoValue => "`{key}` 没有值",
        Code::ExpectedText => "`{key}` 只取一个值，不是列表或键值",
        Code::ExpectedList => "`{key}` 取列表",
        Code::ExpectedMap => "`{key}` 取键和值",
        Code::ExpectedTrueFalse => "`{key}` 取 true 或 false，不是 `{value}`",
        Code::ExpectedWhole => "`{key}` 取整数",
        Code::OutOfBounds => "`{value}` 超出范围：`{key}` 为 {min} 到 {max}",
        Code::UnknownChoice => "`{value}` 不是 `{key}` 的值",
        Code::BadQuantity => "无法理解 `{value}`",
        Code::MissingUnit => "`{value}` 没有单位",
        Code::TooFine => "`{value}` 精细到无法保存",
        Code::TooLarge => "`{value}` 太大",
        Code::Zero => "`{key}` 必须大于零",
        Code::Negative => "`{value}` 是负数",
        Code::RangeBackwards => "范围 `{value}` 的终点在起点之前",
        Code::TooLong => "`{key}` 有 {length} 个字符；最多 {max} 个",
        Code::TooMany => "`{key}` 有 {count} 项；最多 {max} 项",
        Code::EmptyValue => "`{key}` 是空的",
        Code::ControlCharacter => "`{key}` 含有控制字符 {character}",
        Code::FramedBySpace => "`{key}` 以空格开头或结尾",
        Code::Repeated => "`{value}` 列出了两次",
        Code::UnknownVersion => "这里不认识版本为 `{value}` 的作业文件",
        Code::BadName => "`{value}` 不能作为作业名",
        Code::BadImage => "`{value}` 不是镜像名",
        Code::BadProject => "`{value}` 不是项目",
        Code::BadArrayRange => "`{value}` 不是数组范围",
        Code::BadAccelerator => "`{value}` 不是带数量的加速卡",
        Code::BadLicense => "`{value}` 不是带数量的许可证",
        Code::BadLocation => "`{value}` 不是数据的地址",
        Code::BadPattern => "`{value}` 不是匹配式：{detail}",
        Code::BadSha256 => "`{value}` 不是 SHA-256 摘要",
        Code::BadSecretName => "`{value}` 不能作为密钥名",
        Code::PathEscapes => "路径 `{value}` 离开了它的文件夹",
        Code::BadProvider => "`{value}` 不是供给方",
        Code::BadPlace => "`{value}` 不是地点",
        Code::BadHttpPath => "`{value}` 不是网址的路径",
        Code::BadContact => "`{value}` 不是可以通知的地址",
        Code::BadRetryCause => "`{value}` 不是重试的原因",
        Code::BadDependency => "`{value}` 不是可以等待的作业",
        Code::BadMoney => "`{value}` 不是金额",
        Code::BadUnitPrice => "`{value}` 不是每小时的价格",
        Code::BadTime => "`{value}` 不是时间",
        Code::BadCron => "`{value}` 不是日程：{field} 有误",
        Code::BadTimezone => "`{value}` 不是时区名",
        Code::BadEnvName => "`{value}` 不能作为环境变量名",
        Code::ReservedEnvName => "`{value}` 由交易所设置",
        Code::EnvTooLarge => "这些变量共有 {bytes} 字节；最多 {max} 字节",
        Code::TooManyTasks => "此数组有 {tasks} 个任务；最多 {max} 个",
        Code::ArrayAndGang => "作业要么是 `array`，要么是 `gang`，不能两者都是",
        Code::GangMin => "{nodes} 个成员的组不能以 {value} 个启动",
        Code::NothingToRun => "作业没有说明要运行什么",
        Code::NotWithSteps => "`{key}` 不能与 `steps` 同用",
        Code::MountsNeedImage => {
            "`mounts` 需要 `image` 或 `steps`：主机自己的程序看到的是主机的文件夹"
        }
        Code::BadMountPoint => "`{value}` 处不能挂载",
        Code::BadAbsolutePath => "`{value}` 不是绝对路径",
        Code::MountedTwice => "`{value}` 处有两个挂载",
        Code::ServiceMissing => "类型为 `service` 的作业需要 `service`",
        Code::NotWithType => "`{key}` 与类型 `{type}` 不相配",
        Code::HeadNeedsGang => "`launch: head` 需要 `gang`",
        Code::ResumeNeedsCheckpoint => "`resume: checkpoint` 需要 `checkpoint`",
        Code::BadSlurmExtra => "`{value}` 不是 `sbatch` 的选项列表",
        Code::ContractMissing => "`reserved` 方式需要所依据的 `contract`",
        Code::ContractUnused => "`contract` 与 `reserved` 方式相配，不与 `{mode}` 相配",
        Code::BadFallback => "`{fallback}` 不能代替 `{mode}`",
        Code::TwoCurrencies => "`{key}` 用 {currency}，前面的金额用 {other}",
        Code::ReplicasBackwards => "`min` 为 {min} 而 `max` 只有 {max}",
        Code::OneFinish => "截止时间要么用 `finish_within`，要么用 `finish_by`",
        Code::DeadlineTooShort => "任务可能运行 {time}，无法保证 {within} 的硬性截止时间",
        Code::FinishByRepeats => "`schedule` 的各次运行不可能都在同一时刻前完成",
        Code::PreferNeedsDeadline => "`prefer: [deadline]` 需要 `deadline`",
        Code::AllowedAndDenied => "供给方 `{value}` 既被允许又被排除",
        Code::SecretInAddress => "网络地址中带有用户名或密码，能看到任务的人都会读到它",
        Code::ResumeWithoutRetry => "`max: 0` 时 `resume` 没有用处",
        Code::SbatchNoInterpreter => "脚本第一行必须是 `#!` 加解释器",
        Code::SbatchDosLines => "脚本用了 DOS 换行，解释器无法读取",
        Code::SbatchUnknownOption => "`{option}` 不是 sbatch 的选项",
        Code::SbatchValueMissing => "`{option}` 需要一个值",
        Code::SbatchTakesNoValue => "`{option}` 不取值",
        Code::SbatchStrayWord => "`{word}` 既不是选项，也不是选项的值",
        Code::SbatchOpenQuote => "从这里开始的引号在本行没有闭合",
        Code::SbatchNotOffered => "不提供 `{option}`：{why}",
        Code::SbatchBadValue => "`{value}` 不是 `{option}` 的值",
        Code::SbatchNoProject => "脚本没有说明由哪个项目付费",
        Code::SbatchRun => "脚本中不能写 `run`：运行的就是脚本本身",
        Code::SbatchChunk => "脚本每次只运行数组的一个元素",
    }
}

/// How to put it right; the first one whose values are all there is shown.
pub const fn helps(code: Code) -> &'static [&'static str] {
    match code {
        Code::FileTooLarge => &["把长脚本与数据另存为文件，在 `inputs` 中指明"],
        Code::Empty => &["作业至少需要 `version`、`name`、`type`、`project` 与 `run`"],
        Code::YamlSyntax => &["检查缩进，含特殊字符的值请加引号"],
        Code::YamlTab => &["请用空格缩进"],
        Code::YamlColon => &["给整个值加引号，或检查缩进"],
        Code::YamlBracket => &["列表写成 `[a, b]`，键值写成 `{{a: 1, b: 2}}`"],
        Code::YamlQuote => &["请闭合引号；若它属于文字本身，请写两次"],
        Code::NotAMap => &["它以 `version: 1` 开头"],
        Code::TooManyValues => &["`array` 可代表许多只差一个编号的任务"],
        Code::Anchor => &["请把值写全；以 `&` 或 `*` 开头的文字请加引号"],
        Code::Tag => &["请去掉标签；以 `!` 开头的文字请加引号"],
        Code::ManyDocuments => &["每个作业提交一个文件"],
        Code::KeyNotText => &["以 `{{` 或 `[` 开头的值请加引号"],
        Code::DuplicateKey => &["只保留其中一个"],
        Code::BooleanKey => &["请加引号：`\"{quotable}\"`", "作业文件没有这个键"],
        Code::UnknownKey => &[
            "请写 `{nested}`",
            "`{key}` 应放在 `{home}` 之下",
            "`{top}` 应放在文件最外层，而不是别的键之下",
            "是否想写 `{suggestion}`？",
            "这里的键有 {keys}",
        ],
        Code::MissingKey => &["请加上 `{key}: {example}`", "请加上 `{key}`"],
        Code::NoValue => &["请在冒号后写上值，或去掉这个键"],
        Code::ExpectedText => &["每一项请写成 `{element}`", "请写成 `{key}: {example}`"],
        Code::ExpectedList => &["请写成 `{key}: [{example}]`", "请写成 `{key}: [...]`"],
        Code::ExpectedMap => &[
            "请写成 `{key}: {{{first}: {value}}}`；它的键有 {keys}",
            "它的键有 {keys}",
            "请写成 `{key}: {{name: value}}`",
        ],
        Code::ExpectedTrueFalse => {
            &["请写 `{suggestion}`，不加引号", "请写 `true` 或 `false`，不加引号"]
        }
        Code::ExpectedWhole => &["请写 {min} 到 {max} 之间的数，不加引号"],
        Code::UnknownChoice => &["是否想写 `{suggestion}`？", "可选 {choices}"],
        Code::BadQuantity => &["请写成 `{example}`；单位有 {units}", "请写成 `{example}`"],
        Code::MissingUnit => &["请写成 `{example}`；单位有 {units}"],
        Code::TooLarge => &["最多可要求 {max}", "请减少用量：没有机器有这么多"],
        Code::Zero => &["不写则为 {default}"],
        Code::RangeBackwards => &["请先写较小的值"],
        Code::EmptyValue => &["请去掉这个键，或给它一个值"],
        Code::FramedBySpace => &["请去掉空格"],
        Code::Repeated => &["只保留其中一个"],
        Code::UnknownVersion => &["请写 `version: 1`"],
        Code::BadName => &["可用字母、数字、`.`、`_` 与 `-`，最多 {max} 个，以字母或数字开头"],
        Code::BadImage => &["请写成 `registry.local/blender:4`"],
        Code::BadProject => &["机构与项目用小写，如 `studio-a/film-3`"],
        Code::BadArrayRange => &["请写成 `1001-1240`，或用 `0-15:2` 表示隔一个取一个"],
        Code::BadAccelerator => {
            &["请写成 `H100:8`、`any-nvidia:1`，或用 `H100:0.25` 表示一张卡的一部分"]
        }
        Code::BadLicense => &["请写成 `ansys:2`"],
        Code::BadLocation => &[
            "请写成 `dayan://studio-a/film-3/scene/`、`./scene/`、`s3://bucket/key`、`https://host/file`、`data://scene/` 或 `file:///folder/`",
        ],
        Code::BadPattern => {
            &["`*` 与 `?` 代表一个名称中的字符，`[ab]` 代表其中之一，单独的 `**` 代表文件夹"]
        }
        Code::BadSha256 => &["请写 `sha256sum` 输出的 64 位小写十六进制数字"],
        Code::BadSecretName => {
            &["可用字母、数字、`-`、`_` 与 `.`，最多 64 个；`dayan secret ls` 列出项目的密钥"]
        }
        Code::PathEscapes => &["请写相对于该文件夹的路径，不含 `..`"],
        Code::BadProvider => &["请写供给方的名称，或 `prov_` 之后至少十个字符的编号"],
        Code::BadPlace => &["请写成 `city:Guiyang`"],
        Code::BadHttpPath => &["请写成 `/healthz`"],
        Code::BadContact => &["请写成 `https://host/hook` 或 `mailto:name@host`"],
        Code::BadRetryCause => {
            &["是否想写 `{suggestion}`？", "可选 {choices}，或退出码，如 `exit:75`"]
        }
        Code::BadDependency => {
            &["请写它的编号或名称，需要时写明条件：`shot-119:ended`（{choices}）"]
        }
        Code::BadMoney => &["请写成 `60.00 CNY`"],
        Code::BadUnitPrice => &["请写成 `9.50 CNY/hour`"],
        Code::BadTime => &["请写成 `2026-11-30T18:00:00+08:00`"],
        Code::BadCron => &["五个字段：分、时、日、月、星期，如 `20 0,6,12,18 * * *`"],
        Code::BadTimezone => &["请写成 `Asia/Shanghai` 或 `UTC`"],
        Code::BadEnvName => &["可用字母、数字与 `_`，不以数字开头"],
        Code::ReservedEnvName => &["不能指定以 `DAYAN_` 开头的变量"],
        Code::EnvTooLarge => &["把长的值放进文件，在 `inputs` 中指明"],
        Code::TooManyTasks => &["`chunk` 可把几个元素放进一个任务"],
        Code::ArrayAndGang => &["请为每一组提交一个作业"],
        Code::GangMin => &["请让 `min` 不大于 `nodes`"],
        Code::NothingToRun => &["请加上 `run: ./program`，或 `steps`"],
        Code::NotWithSteps => &["请写在各步骤里，或删去 `steps`"],
        Code::MountsNeedImage => &["请加上 `image`，或写任务文件夹内的路径"],
        Code::BadMountPoint => {
            &["请写根目录以下、不含 `..` 的绝对路径，且不在 /proc、/sys、/dev、/work 之内"]
        }
        Code::BadAbsolutePath => &["例如 `/data/out.txt`"],
        Code::MountedTwice => &["请删去其中一个"],
        Code::ServiceMissing => &["请加上 `service: {{port: 8000}}`"],
        Code::NotWithType => &["请去掉它，或改变 `type`"],
        Code::HeadNeedsGang => &["请加上 `gang: {{nodes: 2}}`，或去掉 `launch`"],
        Code::ResumeNeedsCheckpoint => &["请加上 `checkpoint: {{path: ckpt}}`"],
        Code::BadSlurmExtra => &["请写出完整选项并用等号，例如 `extra: --nice=10 --exclusive`"],
        Code::ContractMissing => &["请在 `market` 中加上 `contract`"],
        Code::ContractUnused => &["请写 `mode: reserved`，或去掉 `contract`"],
        Code::BadFallback => &["`fallback` 须与 `mode` 不同，且不是 `reserved`"],
        Code::TwoCurrencies => &["一个作业的金额请用同一种货币"],
        Code::OneFinish => &["只写其中一个，如 `finish_within: 100m`"],
        Code::DeadlineTooShort => &["请缩短 `resources.time`，或写 `kind: soft`"],
        Code::FinishByRepeats => &["请写 `finish_within`：从每次运行应开始的时刻算起"],
        Code::PreferNeedsDeadline => {
            &["请加上 `deadline: {{finish_within: 2h}}`，或从 `prefer` 中去掉它"]
        }
        Code::AllowedAndDenied => &["只保留其中一个"],
        Code::SecretInAddress => {
            &["请用 `dayan secret set PROJECT NAME` 设置，并在去掉它的地址旁写 `secret: NAME`"]
        }
        Code::ResumeWithoutRetry => &["请增大 `max`，或去掉 `resume`"],
        Code::SbatchNoInterpreter => &["请以 `#!/bin/bash` 开头"],
        Code::SbatchDosLines => &["请转换换行，例如用 `dos2unix`"],
        Code::SbatchUnknownOption => &[
            "是否想写 `{suggestion}`？",
            "可能是 {choices}",
            "作业文件的键写在 `#DAYAN key: value` 这样的行里",
        ],
        Code::SbatchValueMissing => &["请写成 `{option} VALUE`"],
        Code::SbatchTakesNoValue => &["只写 `{option}`"],
        Code::SbatchStrayWord => &["含空格的值请加引号；`#` 之后是注释"],
        Code::SbatchOpenQuote => &["请闭合引号"],
        Code::SbatchBadValue => &["请写成 `{example}`"],
        Code::SbatchNoProject => {
            &["请加上 `#SBATCH --account=ORGANISATION/PROJECT`，或设置 DAYAN_PROJECT"]
        }
        Code::SbatchRun => &["请去掉这一行"],
        Code::SbatchChunk => &["请去掉 `chunk`"],
        Code::JsonSyntax
        | Code::TooDeep
        | Code::OutOfBounds
        | Code::TooFine
        | Code::Negative
        | Code::TooLong
        | Code::TooMany
        | Code::ControlCharacter
        | Code::ReplicasBackwards
        | Code::SbatchNotOffered => &[],
    }
}
