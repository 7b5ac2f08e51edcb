import { describe, expect, it } from 'vitest';
import { templateFunctions } from '../../src/inject/functions.ts';
import { TemplateError } from '../../src/inject/template/error.ts';
import { renderTemplate } from '../../src/inject/template/evaluate.ts';
import { parseTemplate } from '../../src/inject/template/parse.ts';
import { deepFreeze } from '../../src/lib/equal.ts';
import { YAML } from './support.ts';

const functions = templateFunctions(YAML, (name) => ({ HOME: '/root' })[name]);
const data = deepFreeze({
  Name: 'web',
  N: 3,
  Zero: 0,
  Yes: true,
  List: ['a', 'b', 'c'],
  Map: { y: 2, x: 1 },
  ObjectMeta: { labels: { app: 'web', empty: '' }, annotations: { note: 'hi' } },
  Spec: { dnsPolicy: 'ClusterFirst', containers: [{ name: 'c1', ports: [{ containerPort: 80 }] }, { name: 'c2' }] },
  ProxyConfig: {
    interceptionMode: 'REDIRECT',
    holdApplicationUntilProxyStarts: true,
    tracing: { zipkin: { address: 'z' } },
  },
});

function render(text: string): string {
  return renderTemplate(parseTemplate('t', text), data, functions).text;
}

// What Go's text/template and the functions of sprig and istiod give.
/** Not a text, but a fault. */
const ERROR = Symbol('error') as unknown as string;

describe('Go templates', () => {
  it.each([
    ['plain', 'plain'],
    ['a {{ .Name }} b', 'a web b'],
    ['a {{- .Name -}} b', 'awebb'],
    ['a  {{- /* note */ -}}  b', 'ab'],
    ['a {{/* note */}} b', 'a  b'],
    ['{{ "q\\"x\\n" }}{{ `raw\\n` }}{{ 12 }}{{ -1.5 }}{{ true }}', 'q"x\nraw\\n12-1.5true'],
    ['{{ if .Yes }}y{{ else }}n{{ end }}', 'y'],
    ['{{ if .Zero }}y{{ else if .Name }}m{{ else }}n{{ end }}', 'm'],
    ['{{ if .Nothing }}y{{ end }}', ''],
    ['{{ with .Name }}{{ . }}{{ end }}{{ with .Nothing }}x{{ else }}none{{ end }}', 'webnone'],
    ['{{ range .List }}{{ . }}{{ end }}', 'abc'],
    ['{{ range $i, $e := .List }}{{ $i }}{{ $e }}{{ end }}', '0a1b2c'],
    ['{{ range $k, $v := .Map }}{{ $k }}{{ $v }}{{ end }}', 'x1y2'],
    ['{{ range .Nothing }}x{{ else }}none{{ end }}', 'none'],
    ['{{ range .List }}{{ if eq . "b" }}{{ break }}{{ end }}{{ . }}{{ end }}', 'a'],
    ['{{ range .List }}{{ if eq . "b" }}{{ continue }}{{ end }}{{ . }}{{ end }}', 'ac'],
    ['{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}', '2'],
    ['{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ end }}{{ $x }}', '1'],
    ['{{ $l := list }}{{ range .List }}{{ $l = append $l . }}{{ end }}{{ len $l }}', '3'],
    ['{{ range .List }}{{ $.Name }}{{ end }}', 'webwebweb'],
    ['{{ define "f" }}<{{ . }}>{{ end }}{{ template "f" .Name }}', '<web>'],
    ['{{ block "g" .Name }}[{{ . }}]{{ end }}', '[web]'],
    ['{{ .Name | printf "%s-%d-%q" "x" 3 }}', 'x-3-"web"'],
    ['{{ printf "%5s|%-5s|%05d|%t|%v|%%" "a" "b" 42 true .List }}', '    a|b    |00042|true|[a b c]|%'],
    ['{{ and .Yes .Name }} {{ or .Zero "d" }} {{ not .Zero }}', 'web d true'],
    // The second argument would be an error.
    ['{{ or .Yes (index .List 9) }}', 'true'],
    ['{{ eq .N 3 }} {{ eq .Name "a" "web" }} {{ ne .N 3 }} {{ lt 1 2 }} {{ ge 2 2 }}', 'true true false true true'],
    ['{{ index .List 1 }}{{ index .Map "x" }}{{ index .ObjectMeta.Labels "none" }}', 'b1'],
    ['{{ (index .Spec.Containers 0).Name }}{{ (.Nothing).Other | default "z" }}', ERROR],
    ['{{ len .List }} {{ len .Name }} {{ len .Map }}', '3 3 2'],
    ['{{ slice .Name 1 }} {{ .List }} {{ .Map }}', 'eb [a b c] map[x:1 y:2]'],
    [
      '{{ .Spec.DNSPolicy }} {{ .ObjectMeta.Labels.app }} {{ (index (index .Spec.Containers 0).Ports 0).ContainerPort }}',
      'ClusterFirst web 80',
    ],
    [
      '{{ .ProxyConfig.InterceptionMode.String }} {{ .ProxyConfig.HoldApplicationUntilProxyStarts.GetValue }}',
      'REDIRECT true',
    ],
    [
      '{{ .ProxyConfig.GetTracing.GetZipkin.GetAddress }}{{ .ProxyConfig.GetTracing.GetTlsSettings.GetCaCertificates }}',
      'z',
    ],
    ['{{ annotation .ObjectMeta `note` "d" }} {{ annotation .ObjectMeta "none" 7 }}', 'hi 7'],
    ['{{ isset .ObjectMeta.Annotations "note" }} {{ isset .ObjectMeta.Annotations "x" }}', 'true false'],
    ['{{ valueOrDefault "" "d" }}{{ valueOrDefault .Nothing "e" }}{{ valueOrDefault 0 "f" }}', 'de0'],
    ['{{ toJSON .ObjectMeta.Labels }}', '{"app":"web","empty":""}'],
    ['{{ toYaml .Map | indent 2 }}', 'y: 2\n  x: 1\n  '],
    ['x:{{ toYaml .Map | trim | nindent 2 }}', 'x:\n  y: 2\n  x: 1'],
    ['{{ range fromJSON `[{"a":1}]` }}{{ .a }}{{ end }}', '1'],
    [
      '{{ excludeInboundPort 15020 "80, 443" }} {{ excludeInboundPort "80" "80" }} {{ excludeInboundPort 0 "" }}',
      '80,443,15020 80 ',
    ],
    ['{{ includeInboundPorts .Spec.Containers }}', '80'],
    ['{{ contains "/" "a/b" }} {{ toLower "AbC" }} {{ directory "/etc/x/y.pem" }}', 'true abc /etc/x/'],
    ['{{ env "HOME" "d" }} {{ env "NONE" "d" }}', '/root d'],
    [
      '{{ "" | default "x" | quote }} {{ "a-b_" | trimAll "-_" }} {{ "abcdef" | trunc 3 }} {{ join "," .List }}',
      '"x" a-b abc a,b,c',
    ],
    ['{{ $d := dict "a" 1 }}{{ $_ := set $d "b" 2 }}{{ toJson $d }} {{ hasKey $d "b" }}', '{"a":1,"b":2} true'],
    ['{{ toJson (merge (dict "a" (dict "x" 1)) (dict "a" (dict "x" 2 "y" 3))) }}', '{"a":{"x":1,"y":3}}'],
    ['{{ toJson (omitNil (dict "a" nil "b" (list 1))) }}', '{"a":"","b":[1]}'],
    ['{{ ternary "a" "b" true }} {{ coalesce "" 0 "z" }} {{ kindIs "map" .Map }}', 'a z true'],
    [
      '{{ appendMultusNetwork "" "ns/n" }} {{ appendMultusNetwork "a" "n" }} {{ appendMultusNetwork `[{"name":"a"}]` "ns/n" }}',
      'ns/n a, n [{"name":"a"}, {"name":"n","namespace":"ns"}]',
    ],
  ])('%s', (text, expected) => {
    if (expected === ERROR) expect(() => render(text)).toThrow(TemplateError);
    else expect(render(text)).toBe(expected);
  });

  it.each([
    ['a\n{{ if }}x{{ end }}', 'template t, line 2: a value is missing'],
    ['a\n\n{{ if .X }}', 'template t, line 3: {{if}} has no {{end}}'],
    ['{{ end }}', 'template t, line 1: unexpected {{end}}'],
    ['x\n{{ .Name ', 'template t, line 2: an action is not closed: "}}" is missing'],
    ['x\n{{ "abc }}', 'template t, line 2: a quoted text is not closed: " is missing'],
    ['{{ /* x }}', 'template t, line 1: a comment is not closed: "*/" is missing'],
    ['{{ .Name ; }}', 'template t, line 1: unexpected ";" in an action'],
    ['{{ (.Name }}', 'template t, line 1: a parenthesis is not closed'],
    ['\n{{ nope .Name }}', 'template t, line 2: function "nope" is not defined'],
    ['\n\n{{ .Name.First }}', 'template t, line 3: .Name.First: "web" has no field First'],
    ['\n{{ .Nothing.First }}', 'template t, line 2: .Nothing.First: there is nothing to take field First of'],
    ['{{ index .List 5 }}', 'template t, line 1: index: index 5 is out of range of a list of 3'],
    ['{{ $x }}', 'template t, line 1: variable $x is not declared'],
    ['\n{{ template "none" }}', 'template t, line 2: template "none" is not defined'],
    [
      '{{ define "r" }}{{ template "r" }}{{ end }}{{ template "r" }}',
      'template t, line 1: templates call each other without end',
    ],
    ['{{ fail "no" }}', 'template t, line 1: fail: no'],
    [
      '{{ $_ := set .Map "z" 1 }}',
      'template t, line 1: set: the pod and the values can not be changed: copy with merge (dict) …',
    ],
    ['{{ range until 500 }}{{ range until 500 }}x{{ end }}{{ end }}', 'template t, line 1: it does not come to an end'],
  ])('says what is wrong with %s', (text, message) => {
    expect(() => render(text)).toThrow(TemplateError);
    expect(() => render(text)).toThrow(message);
  });

  it('knows which line of a template wrote a line of the text', () => {
    const text = 'one\n{{ range .List }}\n{{- . }}\n{{ end -}}\nlast\n';
    const rendered = renderTemplate(parseTemplate('t', text), data, functions);
    expect(rendered.text).toBe('one\na\nb\nc\nlast\n');
    expect(rendered.lineOf(1)).toBe(1);
    expect([2, 3, 4].map((line) => rendered.lineOf(line))).toEqual([3, 3, 3]);
    expect(rendered.lineOf(5)).toBe(5);
  });

  it('leaves what it was given as it was', () => {
    const before = JSON.stringify(data);
    render('{{ $_ := merge .Map (dict "z" 1) }}{{ $l := append .List "d" }}{{ $r := reverse .List }}');
    expect(JSON.stringify(data)).toBe(before);
  });
});
