cwlVersion: v1.0
class: Workflow
inputs:
  words: File
outputs:
  count:
    type: File
    outputSource: count/counted
steps:
  sort:
    in: {words: words}
    out: [sorted]
    run:
      class: CommandLineTool
      hints: {DockerRequirement: {dockerPull: "localhost/dayan-test:1"}}
      baseCommand: [sort, -u]
      stdout: sorted.txt
      inputs: {words: {type: File, inputBinding: {position: 1}}}
      outputs: {sorted: {type: stdout}}
  count:
    in: {words: sort/sorted}
    out: [counted]
    run:
      class: CommandLineTool
      hints: {DockerRequirement: {dockerPull: "localhost/dayan-test:2"}}
      baseCommand: [wc, -l]
      stdin: $(inputs.words.path)
      stdout: count.txt
      inputs: {words: File}
      outputs: {counted: {type: stdout}}
