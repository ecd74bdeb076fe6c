// The reference for backend/gotemplate: renders templates with Go's own engine, one JSON object a line.
//
// In: {"template": …, "data": …}. Out: {"text": …} or {"error": …, "stage": "parse" | "execute"}.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

type question struct {
	Template string `json:"template"`
	Data     any    `json:"data"`
}

type answer struct {
	Text  string `json:"text"`
	Error string `json:"error,omitempty"`
	Stage string `json:"stage,omitempty"`
}

func render(q question) answer {
	functions := template.FuncMap{"json": func(v any) string {
		encoded, _ := json.Marshal(v)
		return string(encoded)
	}}
	// The option is the one that Ollama sets (template/template.go, Parse).
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(q.Template)
	if err != nil {
		return answer{Error: err.Error(), Stage: "parse"}
	}
	var out strings.Builder
	if err := parsed.Execute(&out, q.Data); err != nil {
		return answer{Error: err.Error(), Stage: "execute"}
	}
	return answer{Text: out.String()}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<26)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			panic(err)
		}
		if err := out.Encode(render(q)); err != nil {
			panic(err)
		}
	}
}
