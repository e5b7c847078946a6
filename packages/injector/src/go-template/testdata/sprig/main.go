// Command sprig evaluates templates with the functions of the library sprig, for sprig-outputs.json.
// It reads [{"template": "…", "data": …}] and writes [{"output": "…"} or {"error": "…"}].
package main

import (
	"encoding/json"
	"os"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

type question struct {
	Template   string `json:"template"`
	Data       any    `json:"data"`
	MissingKey string `json:"missingKey"`
}

type answer struct {
	Output *string `json:"output,omitempty"`
	Error  string  `json:"error,omitempty"`
}

func ask(q question) answer {
	missing := q.MissingKey
	if missing == "" {
		missing = "default"
	}
	parsed, err := template.New("t").Funcs(sprig.TxtFuncMap()).Option("missingkey=" + missing).Parse(q.Template)
	if err != nil {
		return answer{Error: err.Error()}
	}
	var out strings.Builder
	if err := parsed.Execute(&out, q.Data); err != nil {
		return answer{Error: err.Error()}
	}
	text := out.String()
	return answer{Output: &text}
}

func main() {
	var questions []question
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		panic(err)
	}
	answers := make([]answer, len(questions))
	for index, q := range questions {
		answers[index] = ask(q)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}
